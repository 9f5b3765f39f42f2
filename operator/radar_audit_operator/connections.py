"""What the operator holds of each AuditHub's hub: its client, how it stands, what it last said.

Owns the connections by AuditHub. Set by the hub's reconcile and the resync, read by the policies'.
Never sends anything by itself.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal

from radar_audit_events.policy_answers import OperatorHeartbeatAnswer, SettingsAnswer

from .errors import HubUnreachableError
from .hub_client import HubClient
from .plan.verdicts import SyncResult

State = Literal["new", "up", "down", "unauthorized", "refused"]


@dataclass
class Connection:
    """One hub. `identity` is what the client was made of: URL, token's version, certificates.

    Times ending in `_at` are RFC 3339 for people; `down_from` and `due` are of the monotonic clock.
    """

    client: HubClient
    identity: tuple[str, ...]
    state: State = "new"
    sentence: str = ""
    down_at: str = ""
    down_from: float = 0.0
    good_at: str = ""
    settings: SettingsAnswer | None = None
    heartbeat: OperatorHeartbeatAnswer | None = None
    sent: tuple[str, int, str] | None = None  # of the AuditHub's own document
    due: float = 0.0
    is_grace_told: bool = False

    def rise(self, now: str) -> None:
        """Note that the hub answers."""
        self.state, self.sentence, self.good_at = "up", "", now
        self.down_at, self.is_grace_told = "", False

    def fall(self, error: HubUnreachableError, now: str) -> None:
        """Note that the hub does not answer; the first time counts."""
        if self.state != "down":
            self.down_at, self.down_from = now, time.monotonic()
        self.state, self.sentence = "down", error.reason

    def refuse(self, state: Literal["unauthorized", "refused"], sentence: str) -> None:
        """Note that the hub answers, but not us."""
        self.state, self.sentence, self.down_at = state, sentence, ""

    def is_grace_over(self, unready_after_seconds: float) -> bool:
        """Return whether the hub is away for longer than policies stay Ready."""
        return self.state == "down" and time.monotonic() - self.down_from >= unready_after_seconds

    def trouble(self, last_good: str, unready_after_seconds: float) -> SyncResult | None:
        """Return what a policy's Synced says of a hub that does not work, null if it does."""
        if self.state == "down":
            return SyncResult(
                kind="unreachable",
                sentence=self.sentence,
                down_since=self.down_at,
                last_good=last_good,
                is_grace_over=self.is_grace_over(unready_after_seconds),
            )
        if self.state in {"unauthorized", "refused"}:
            return SyncResult(kind="unauthorized", sentence=self.sentence)
        return None


@dataclass
class Connections:
    """The connections by the AuditHub's name."""

    by_name: dict[str, Connection] = field(default_factory=dict)

    def get(self, name: str) -> Connection | None:
        """Return one, or null."""
        return self.by_name.get(name)

    async def drop(self, name: str) -> None:
        """Close and forget one."""
        gone = self.by_name.pop(name, None)
        if gone is not None:
            await gone.client.close()

    async def close(self) -> None:
        """Close and forget all."""
        for name in list(self.by_name):
            await self.drop(name)
