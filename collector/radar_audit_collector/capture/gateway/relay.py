"""The relay as a whole: accepts, bounds, renews, probes, drains.

Owns the listener, the set of connections and the process's background loops.
Called by `__main__`, and by connections through `Plane`. The seam to the rest:
a config, the journal link, and `drain`; another engine could stand behind it.
Never logs itself: what is to be said goes over the link.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections.abc import Mapping
from typing import Any

from .config import RelayConfig
from .connection import Connection
from .contexts import ServingContext, UpstreamContexts
from .counters import Counters
from .engine import Buffers
from .link import Link
from .listener import Listener, refuse
from .pair import Pair
from .timings import HEAD_BOUNDS_SECONDS, Timings
from .upstream import Endpoint, Upstream, UpstreamError

_STATS_SECONDS = 1.0
_SILENT_ROUNDS = 10
_CLOSE_SECONDS = 2.0
_FAST_LANES = 16  # a MiB each
_SPARE_DESCRIPTORS = 64
_FULL_SHARE = 0.9
_MAX_DESCRIPTORS = 1 << 16
_REPORTED_FAULTS = 100  # a fault in a loop must not fill a log


class Relay:
    """One listener; `drained` is done when everything has ended after `drain`."""

    def __init__(self, config: RelayConfig) -> None:
        """Read the certificates; nothing listens yet. Raises OSError, ssl.SSLError."""
        self.config = config
        self.capture = config.capture
        self.required = config.failure_policy == "required"
        self.counters = Counters()
        self.head_times = Timings(HEAD_BOUNDS_SECONDS)
        self.buffers = Buffers()
        self.link = Link(self.counters, self._obey, self._on_link_gone)
        self._serving = ServingContext(config.leaf_file, self._report_file)
        self.upstream = Upstream(
            Endpoint(config.upstream_host, config.upstream_port, config.upstream_server_name),
            UpstreamContexts(config.upstream_ca_file, self._report_file),
            self.buffers,
        )
        self.port = 0
        self.drained = asyncio.Event()
        self._connections: set[Pair] = set()
        self._opening: set[Pair] = set()
        self._listener: Listener | None = None
        self._loops: list[asyncio.Task[None]] = []
        self._probing: asyncio.Task[None] | None = None
        self._draining: asyncio.Task[None] | None = None
        self._probe_now = asyncio.Event()
        self._upstream_known = False
        self._emptied = asyncio.Event()
        self._free_lanes = _FAST_LANES
        self._max_connections = min(config.max_connections, _room_for_connections())

    def start(self) -> None:
        """Listen, and begin to watch files and the API server. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._listener = Listener(
            self.config.listen_host, self.config.listen_port, self._take, self._on_exhausted
        )
        self.port = self._listener.port
        self._listener.start()
        self._loops = [
            loop.create_task(self._watch_files()),
            loop.create_task(self._probe_upstream()),
            loop.create_task(self._publish()),
        ]
        self.link.tell("hello", port=self.port)

    def drain(self, seconds: float) -> None:
        """Stop accepting, go on relaying for `seconds`, then end what is left."""
        if self._draining is None:
            self._draining = asyncio.get_running_loop().create_task(self._drain(seconds))

    # What connections call.

    def take_lane(self) -> bool:
        """Take one of the few fast lanes, or tell that none is free."""
        if self._free_lanes == 0:
            return False
        self._free_lanes -= 1
        return True

    def settled(self, pair: Pair) -> None:
        """Note that a connection is no longer opening."""
        self._opening.discard(pair)

    def forget(self, pair: Pair) -> None:
        """Note that a connection is gone; it may be said twice."""
        if pair in self._connections:
            self._connections.remove(pair)
            self._free_lanes += pair.has_lane
            up, down = pair.carried()
            self.counters.add("bytes_up", up)
            self.counters.add("bytes_down", down)
        self._opening.discard(pair)
        if not self._connections:
            self._emptied.set()

    def mismatched(self) -> None:
        """Ask the API server anew what it speaks."""
        self._probe_now.set()

    def unexpected(self, error: BaseException) -> None:
        """Count a fault of our own and say where it is; its text might quote something."""
        self.counters.add("unexpected_error")
        if self.counters.snapshot()["unexpected_error"] <= _REPORTED_FAULTS:
            self._say("error", "the gateway met a fault of its own", kind=_kind(error))

    # The background loops.

    async def _watch_files(self) -> None:
        while True:
            await asyncio.sleep(self.config.watch_files_seconds)
            if self._serving.reload_if_changed():
                self._say("info", "the gateway uses a renewed certificate")
            if self.upstream.contexts.reload_if_changed():
                self._say("info", "the gateway trusts the API server's new CA")
                self._probe_now.set()

    async def _probe_upstream(self) -> None:
        """Offer Radar what the API server speaks; until it is known, what API servers speak."""
        pause_seconds = 0.0
        while True:
            try:
                async with asyncio.timeout(self.config.opening_seconds):
                    protocols = await self.upstream.probe()
            except (UpstreamError, TimeoutError):
                # At first in quick steps: the API server may be starting.
                pause_seconds = min(max(2 * pause_seconds, 1.0), self.config.probe_seconds)
                self._note_reach(known=False)
            else:
                pause_seconds = self.config.probe_seconds
                if protocols != self._serving.protocols:
                    self._serving.offer(protocols)
                self._note_reach(known=True)
            try:
                async with asyncio.timeout(pause_seconds):
                    await self._probe_now.wait()
                await asyncio.sleep(1.0)  # however often a mismatch is met
            except TimeoutError:
                pass
            self._probe_now.clear()

    async def _publish(self) -> None:
        """Tell the collector what has changed; with thousands of idle connections, nothing."""
        told: object = None
        silent = 0
        while True:
            now = (self.counters.snapshot(), len(self._connections), self._upstream_known)
            silent += 1
            # Bytes of living connections are in no counter yet: they are summed up now and then.
            if now != told or silent >= _SILENT_ROUNDS:
                told, silent = now, 0
                self.link.tell("stats", **self.stats())
            await asyncio.sleep(_STATS_SECONDS)

    def stats(self) -> dict[str, Any]:
        """Return counters and what is open now."""
        counters = self.counters.snapshot()
        terminals = 0
        for pair in self._connections:
            up, down = pair.carried()
            counters["bytes_up"] += up
            counters["bytes_down"] += down
            terminals += pair.has_terminal
        return {
            "counters": counters,
            "head_times": self.head_times.snapshot(),
            "connections": len(self._connections),
            "opening": len(self._opening),
            "terminals": terminals,
            "protocols": list(self._serving.protocols),
            "reachable": self._upstream_known,
        }

    async def _drain(self, seconds: float) -> None:
        if self._listener is not None:
            self._listener.close()
        await self._until_empty(seconds)
        for connection in tuple(self._connections):
            connection.shut("collector_shutdown")
        await self._until_empty(_CLOSE_SECONDS)
        for connection in tuple(self._connections):
            connection.cut()
        await self._until_empty(_CLOSE_SECONDS)
        for task in self._loops:
            task.cancel()
        self.link.tell("stats", **self.stats())
        self.link.tell("bye")
        self.link.close()
        self.drained.set()

    async def _until_empty(self, seconds: float) -> None:
        self._emptied.clear()
        if self._connections and seconds > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._emptied.wait()

    # Small things.

    def _take(self, sock: socket.socket) -> None:
        """Open a new connection, if there is room."""
        if len(self._connections) >= self._max_connections:
            self.counters.add("refused_full")
            refuse(sock)
        elif len(self._opening) >= self.config.max_opening:
            self.counters.add("refused_half_open")
            refuse(sock)
        else:
            self.counters.add("accepted")
            connection = Connection(self, self._serving.context)
            self._connections.add(connection)
            self._opening.add(connection)
            connection.begin(sock)

    def _on_exhausted(self) -> None:
        self.counters.add("refused_full")

    def _obey(self, order: Mapping[str, Any]) -> None:
        """Carry out an order of the collector. Raises KeyError for an unknown form of it."""
        kind = order["kind"]
        if kind == "drain":
            self.drain(float(order["seconds"]))
        elif kind == "capture":
            self.capture = bool(order["on"])
        elif kind == "policy":
            self.required = bool(order["required"])
        elif kind == "upstream":
            self.upstream.endpoint = Endpoint(
                str(order["host"]), int(order["port"]), str(order["server_name"])
            )
            self._probe_now.set()

    def _on_link_gone(self) -> None:
        """Without a collector nothing is recorded: let nothing begin, and what is open go on.

        The next collector has a relay of its own, on the same port, which is free from now on.
        """
        for pair in tuple(self._opening):
            pair.cut()
        self.drain(self.config.drain_seconds)

    def _note_reach(self, *, known: bool) -> None:
        if known and not self._upstream_known:
            self._say("info", "the API server answers", protocols=",".join(self._serving.protocols))
        elif not known:
            self._say("warning", "the API server cannot be reached or trusted")
        self._upstream_known = known

    def _report_file(self, problem: str, file: str) -> None:
        self._say("warning", problem, file=file)

    def _say(self, level: str, sentence: str, **fields: str) -> None:
        self.link.tell("log", level=level, sentence=sentence, fields=fields)


def _room_for_connections() -> int:
    """Raise the soft limit of open files to the hard one; return how many pairs fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    else:
        wanted = _MAX_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft
    return max(1, int((wanted - _SPARE_DESCRIPTORS) * _FULL_SHARE) // 2)


def _kind(error: BaseException) -> str:
    """Return the type of an error and the line of ours that raised it, nothing of its text."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else f" at {trace.tb_frame.f_code.co_name}:{trace.tb_lineno}"
    return f"{type(error).__name__}{place}"
