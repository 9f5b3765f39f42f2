"""The relay process, seen from the collector: started, listened to, started again, drained.

Owns the child process and its socket pair. Called by the collector's app, which
runs `run` as a task. A relay that dies is started anew at once: all of Radar's
traffic waits for it. Never gives it a token or any variable with a secret.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any

from .config import FailurePolicy, RelayConfig
from .journal import GatewayJournal, Heard
from .messages import MAX_LINE_BYTES, decode, encode
from .trust import small_environment

_MODULE = "radar_audit_collector.capture.gateway"
_START_SECONDS = 15.0
_END_SECONDS = 5.0
_FIRST_PAUSE_SECONDS, _LAST_PAUSE_SECONDS = 0.05, 5.0
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

_logger = logging.getLogger(__name__)
OnStats = Callable[[int, Mapping[str, Any]], None]


class RelayProcess:
    """One relay at a time; `port` is where it listens, 0 while it does not."""

    def __init__(self, config: RelayConfig, journal: GatewayJournal, on_stats: OnStats) -> None:
        """Nothing is started before `run`; `on_stats` gets the run's number and its figures."""
        self._config = config
        self._journal = journal
        self._on_stats = on_stats
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._run_number = 0
        self._dropped = 0
        self._draining = asyncio.Event()
        self._finished = asyncio.Event()
        self._finished.set()
        self._said_bye = False
        self.port = 0
        self.restarts = 0

    @property
    def is_listening(self) -> bool:
        """Tell whether Radar can be served."""
        return self.port != 0

    @property
    def pid(self) -> int | None:
        """The process id of the relay, null while there is none."""
        return None if self._process is None else self._process.pid

    async def run(self) -> None:
        """Keep a relay running until `drain` has ended it."""
        self._finished.clear()
        try:
            await self._keep_running()
        finally:
            self._finished.set()

    async def _keep_running(self) -> None:
        pause_seconds = _FIRST_PAUSE_SECONDS
        while not self._draining.is_set():
            if await self._run_once():
                pause_seconds = _FIRST_PAUSE_SECONDS
            if self._draining.is_set():
                return
            self.restarts += 1
            _logger.error("the relay ended; it is started again", extra={"count": self.restarts})
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _LAST_PAUSE_SECONDS)

    async def drain(self, seconds: float) -> None:
        """Let the relay go on for `seconds` without new connections, then end; wait for that."""
        self._draining.set()
        self._order("drain", seconds=seconds)
        try:
            async with asyncio.timeout(seconds + _END_SECONDS):
                await self._finished.wait()  # then everything that it said was heard
        except TimeoutError:
            _logger.warning("the relay did not end in time")
            if self._process is not None:
                _kill(self._process)
            await self._finished.wait()
        await self._journal.settle()

    def set_capture(self, *, on: bool) -> None:
        """Look at requests or relay everything blind (the kill switch), from now on."""
        self._config = replace(self._config, capture=on)
        self._order("capture", on=on)

    def set_required(self, *, required: bool) -> None:
        """Refuse terminals whose start cannot be recorded, or let them go on, from now on."""
        policy: FailurePolicy = "required" if required else "open"
        self._config = replace(self._config, failure_policy=policy)
        self._order("policy", required=required)

    def set_upstream(self, host: str, port: int, server_name: str) -> None:
        """Use another API server for new connections."""
        self._config = replace(
            self._config,
            upstream_host=host,
            upstream_port=port,
            upstream_server_name=server_name,
        )
        self._order("upstream", host=host, port=port, server_name=server_name)

    async def _run_once(self) -> bool:
        """Start a relay and listen to it until it ends; tell whether it ever listened."""
        self._run_number += 1
        self._dropped = 0
        self._said_bye = False
        ours, theirs = socket.socketpair()
        watchdog = asyncio.get_running_loop().call_later(_START_SECONDS, self._kill_unless_up)
        listened = False
        try:
            reader, self._writer = await asyncio.open_connection(sock=ours, limit=MAX_LINE_BYTES)
            if self._draining.is_set():
                return False
            self._writer.write(self._config.encode())
            self._process = await _spawn(theirs)
            theirs.close()  # or the end of the relay would not be the end of the stream
            async for message in _messages(reader):
                await self._take(message)
                listened = listened or self.is_listening
        finally:
            watchdog.cancel()
            theirs.close()
            await self._clean_up()
        return listened

    async def _take(self, message: Mapping[str, Any]) -> None:
        kind = message["kind"]
        if kind == "hello":
            self.port = int(message["port"])
            _logger.info("the gateway listens", extra={"port": self.port})
        elif kind == "log":
            level = _LEVELS.get(message["level"], logging.CRITICAL)
            _logger.log(level, "%s", message["sentence"], extra={"relay": message["fields"]})
        elif kind == "stats":
            self._on_stats(self._run_number, message)
            dropped = message["counters"]["link_dropped"]
            if dropped > self._dropped:
                await self._hear({"kind": "dropped", "count": dropped - self._dropped})
                self._dropped = dropped
        elif kind == "bye":
            self._said_bye = True
        else:
            await self._hear(message)

    async def _hear(self, message: Mapping[str, Any]) -> None:
        await self._journal.hear(Heard(self._run_number, message, self._answer_of_run()))

    def _answer_of_run(self) -> Callable[..., None]:
        writer = self._writer

        def answer(ref: int, *, ok: bool) -> None:
            if writer is not None and not writer.is_closing():
                writer.write(encode("stored", {"ref": ref, "ok": ok}))

        return answer

    async def _clean_up(self) -> None:
        self.port = 0
        process, self._process = self._process, None
        writer, self._writer = self._writer, None
        if process is not None:
            if not self._said_bye:
                _kill(process)
            await process.wait()
        if writer is not None:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        # Behind everything that the relay still said: its connections are gone with it.
        await self._hear({"kind": "gone"})

    def _order(self, kind: str, **fields: Any) -> None:
        if self._writer is not None:
            self._writer.write(encode(kind, fields))

    def _kill_unless_up(self) -> None:
        if not self.is_listening and self._process is not None:
            _logger.error("the relay did not start in time")
            _kill(self._process)


async def _spawn(link: socket.socket) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        _MODULE,
        str(link.fileno()),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        pass_fds=(link.fileno(),),
        env=small_environment(),
    )


async def _messages(reader: asyncio.StreamReader) -> AsyncIterator[Mapping[str, Any]]:
    """Yield the relay's messages until it ends or says what is none."""
    with contextlib.suppress(ConnectionError, ValueError, asyncio.LimitOverrunError):
        while line := await reader.readline():
            yield decode(line)


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
