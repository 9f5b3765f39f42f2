"""A bound on what waits between the wire and the log, per org and in total.

Owns `Admission`. Held by the ingest feature; the handler counts each body while it reads it.
Never queues: above the bound the collector is told to come back, its spool keeps the events.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from radar_audit_hub.errors import TooManyRequestsError

# Counted for a request before its body: bounds how many slow or empty ones are open at once.
REQUEST_BYTES = 16 * 1024
RETRY_AFTER_SECONDS = 2


class Ticket:
    """One request's share of the bounds; given back as a whole when the request ends."""

    def __init__(self, admission: Admission, org_id: str) -> None:
        """Hold nothing yet."""
        self._admission, self._org_id = admission, org_id
        self.held_bytes = 0

    def hold(self, count_bytes: int) -> None:
        """Count bytes that are kept in memory. Raises TooManyRequestsError at the bound."""
        self._admission.add(self._org_id, count_bytes)
        self.held_bytes += count_bytes


class Admission:
    """Counts held bytes: `total_bytes` over all orgs, `org_bytes` for each."""

    def __init__(self, *, total_bytes: int, org_bytes: int) -> None:
        """Start empty."""
        self._total_limit, self._org_limit = total_bytes, org_bytes
        self._total = 0
        self._by_org: dict[str, int] = {}

    @property
    def held_bytes(self) -> int:
        """What is held now, over all orgs."""
        return self._total

    @contextmanager
    def enter(self, org_id: str) -> Iterator[Ticket]:
        """Hold a ticket for the block. Raises TooManyRequestsError when nothing more may wait."""
        ticket = Ticket(self, org_id)
        try:
            ticket.hold(REQUEST_BYTES)
            yield ticket
        finally:
            self._release(org_id, ticket.held_bytes)

    def add(self, org_id: str, count_bytes: int) -> None:
        """Count bytes for an org. Raises TooManyRequestsError, then nothing was counted."""
        of_org = self._by_org.get(org_id, 0) + count_bytes
        if of_org > self._org_limit or self._total + count_bytes > self._total_limit:
            whose = "this organization" if of_org > self._org_limit else "this server"
            raise TooManyRequestsError(
                f"too many events of {whose} wait to be stored; send the batch again later",
                RETRY_AFTER_SECONDS,
            )
        self._by_org[org_id] = of_org
        self._total += count_bytes

    def _release(self, org_id: str, count_bytes: int) -> None:
        if not count_bytes:
            return
        self._total -= count_bytes
        left = self._by_org[org_id] - count_bytes
        if left:
            self._by_org[org_id] = left
        else:
            del self._by_org[org_id]
