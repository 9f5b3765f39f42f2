"""What a handler of outbox work is given, and how it says that it failed.

Owns the two types that every feature with outbox work shares. Called by those features and by
`job.py`. Never touches the store.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from radar_audit_hub.context import Hub


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One attempt at a piece of work; `attempt` counts from 1, times are Unix ms.

    `id` is the same at every attempt: the idempotency key for whoever is called.
    """

    id: str
    org_id: str | None
    kind: str
    payload: Mapping[str, Any]
    created_at_ms: int
    attempt: int


Handler = Callable[[Hub, Delivery], Awaitable[None]]
Handlers = Mapping[str, Handler]


class DeliveryFailedError(Exception):
    """The work could not be done; the message holds no secret, as it is kept and logged.

    `retry` tells whether trying again may help.
    """

    def __init__(self, message: str, *, retry: bool) -> None:
        """Keep the message and whether trying again may help."""
        super().__init__(message)
        self.retry = retry
