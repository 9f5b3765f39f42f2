"""One exec on its way through the relay: what the journal is told of it, and when.

Owns the times of one exec and the order of its messages. Called by `connection`.
The duration is monotonic: the end's time is the start's plus what a steady clock
says. Never knows a byte of what was typed or shown.
"""

from __future__ import annotations

import time
from typing import Literal

from .answers import SWITCHING
from .exec_request import ExecRequest
from .link import Link
from .messages import Facts

EndReason = Literal["client_closed", "server_closed", "error", "collector_shutdown"]


class Terminal:
    """Made when the head of an exec was read; times are Unix microseconds."""

    __slots__ = (
        "_audit_id",
        "_end",
        "_exec",
        "_link",
        "_received_us",
        "_ref",
        "_started_monotonic_ns",
        "_started_us",
    )

    def __init__(self, link: Link, exec_request: ExecRequest, audit_id: str) -> None:
        """Take now as the time at which the request was received."""
        self._link = link
        self._exec = exec_request
        self._audit_id = audit_id
        self._received_us = time.time_ns() // 1000
        self._ref: int | None = None
        self._started_us = self._started_monotonic_ns = 0
        self._end: tuple[EndReason, int] | None = None

    @property
    def is_open(self) -> bool:
        """Tell whether it was started and its end is not stated yet."""
        return self._ref is not None

    async def may_start(self, timeout_seconds: float) -> bool:
        """Ask whether a start could be stored now; no answer in time means no."""
        facts = self._facts(SWITCHING, self._received_us)
        return await self._link.ask(facts, timeout_seconds)

    async def start(self, timeout_seconds: float) -> bool:
        """State that the API server switched; tell whether that was stored in time."""
        self._started_us = time.time_ns() // 1000
        self._started_monotonic_ns = time.monotonic_ns()
        facts = self._facts(SWITCHING, self._started_us)
        self._ref, stored = self._link.open(facts)
        return await self._link.wait(stored, timeout_seconds)

    def answered(self, status: int) -> None:
        """State that the API server did not switch (0: what it said is no HTTP)."""
        self._link.answered(self._facts(status, time.time_ns() // 1000))

    def mark_end(self, reason: EndReason) -> None:
        """Take now as the end; only the first call counts."""
        if self._end is None and self._ref is not None:
            elapsed_us = (time.monotonic_ns() - self._started_monotonic_ns) // 1000
            self._end = (reason, self._started_us + elapsed_us)

    def send_end(self) -> None:
        """State the end that was marked, once."""
        if self._ref is not None and self._end is not None:
            reason, at_us = self._end
            self._link.ended(self._ref, reason, at_us)
            self._ref = None

    def _facts(self, code: int, stage_us: int) -> Facts:
        request = self._exec
        return {
            "audit_id": self._audit_id,
            "chosen": bool(request.audit_id),
            "verb": request.verb,
            "namespace": request.namespace,
            "pod": request.pod,
            "subresource": request.subresource,
            "user": request.user,
            "impersonated_user": request.impersonated_user,
            "impersonated_groups": request.impersonated_groups,
            "code": code,
            "received_us": self._received_us,
            "stage_us": stage_us,
            "container": request.container,
            "stdin": request.stdin,
            "tty": request.tty,
            "user_agent_hash": request.user_agent_hash,
        }
