"""The relay's end of the journal link: what is told to the collector, and its answers.

Owns the socket pair's end, the references of asks and starts, and the bound on
what may wait there. Called by `terminal` and `relay`. Never blocks, never waits
longer than its caller allows, and never keeps a stream from flowing: where the
collector does not read, messages are dropped and counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from .counters import Counters
from .messages import Facts, Lines, decode, encode

MAX_BACKLOG_BYTES = 4 * 1024 * 1024  # thousands of starts and ends

OnOrder = Callable[[Mapping[str, Any]], None]


class Link(asyncio.Protocol):
    """A stream of messages; `on_order` gets the collector's, `on_gone` its end."""

    def __init__(self, counters: Counters, on_order: OnOrder, on_gone: Callable[[], None]) -> None:
        self._counters = counters
        self._on_order = on_order
        self._on_gone = on_gone
        self._transport: asyncio.Transport | None = None
        self._lines = Lines()
        self._waiting: dict[int, asyncio.Future[bool]] = {}
        self._last_ref = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take answers and orders; a line that is no message ends the link."""
        try:
            for line in self._lines.feed(data):
                self._take(decode(line))
        except (ValueError, KeyError):
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The collector is gone: nothing waits for it any more."""
        self._transport = None
        for future in self._waiting.values():
            if not future.done():
                future.set_result(False)
        self._waiting.clear()
        self._on_gone()

    def close(self) -> None:
        """Close behind what was sent."""
        if self._transport is not None:
            self._transport.close()

    async def ask(self, facts: Facts, timeout_seconds: float) -> bool:
        """Ask whether a start with these facts could be stored."""
        ref, answer = self._expect()
        self.tell("ask", ref=ref, facts=facts)
        return await self.wait(answer, timeout_seconds)

    def open(self, facts: Facts) -> tuple[int, asyncio.Future[bool]]:
        """State a start; return its reference and what will tell whether it was stored."""
        ref, answer = self._expect()
        self.tell("open", ref=ref, facts=facts)
        return ref, answer

    def ended(self, ref: int, reason: str, at_us: int) -> None:
        """State the end of a start (Unix microseconds)."""
        self.tell("ended", ref=ref, reason=reason, at_us=at_us)

    def answered(self, facts: Facts) -> None:
        """State that an exec got another answer than 101."""
        self.tell("answered", facts=facts)

    async def wait(self, answer: asyncio.Future[bool], timeout_seconds: float) -> bool:
        """Wait for an answer; none in time is false."""
        done, _ = await asyncio.wait({answer}, timeout=timeout_seconds)
        return bool(done) and answer.result()

    def tell(self, kind: str, **fields: Any) -> None:
        """Send a message, or drop and count it."""
        transport = self._transport
        if transport is None or transport.get_write_buffer_size() > MAX_BACKLOG_BYTES:
            self._counters.add("link_dropped")
            ref = fields.get("ref")
            answer = self._waiting.pop(ref, None) if isinstance(ref, int) else None
            if answer is not None:
                answer.set_result(False)
            return
        transport.write(encode(kind, fields))

    def _expect(self) -> tuple[int, asyncio.Future[bool]]:
        self._last_ref += 1
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[self._last_ref] = answer
        return self._last_ref, answer

    def _take(self, message: Mapping[str, Any]) -> None:
        if message["kind"] != "stored":
            self._on_order(message)
            return
        answer = self._waiting.pop(int(message["ref"]), None)
        if answer is not None and not answer.done():
            answer.set_result(bool(message["ok"]))
