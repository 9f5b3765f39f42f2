"""What the hub says of its settings: to the operator by owner, to people by key.

Owns the words of an answer and the counts in it. Called by the routes of this folder with what
`settling` found. Never changes anything, and never tells a secret.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Literal

import msgspec
from radar_audit_events.ids import format_ms
from radar_audit_events.policy_answers import (
    DestinationState,
    Holder,
    KeyState,
    Override,
    Pending,
    RetentionState,
)
from radar_audit_events.policy_wire import AgeOverride, OwnerDocument

from radar_audit_hub.notify.destinations import states
from radar_audit_hub.retention.in_force import HOUR_MS, Age, InForce
from radar_audit_hub.retention.policy import Floors, floors
from radar_audit_hub.store.control import Org
from radar_audit_hub.store.database import Connection
from radar_audit_hub.store.notify_destinations import (
    DestinationRow,
    list_destinations,
    pending_counts,
)
from radar_audit_hub.store.owners import HolderRow
from radar_audit_hub.store.would_delete import MAX_COUNTED, would_delete

from .ages import age_of, next_ages
from .claims import ORG_KEY
from .settling import Settled, asks_for_age, key_of

_NEVER_MS = 2**62
SILENT_MS = 7 * 24 * HOUR_MS  # a holder that was not heard of for so long is shown as stale


@dataclass
class Teller:
    """Answers about one org at one moment; what it counted or read once it does not again."""

    conn: Connection
    org: Org
    settled: Settled
    now_ms: int
    names: dict[str, str] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)
    _rows: defaultdict[str, dict[str, DestinationRow]] | None = None
    _pending: dict[str, int] = field(default_factory=dict)

    async def retention(
        self, owner_id: str, *, asked_takeover: bool | None = None
    ) -> RetentionState | None:
        """Return what became of an owner's retention; None where it asks for none.

        `asked_takeover` is whether the owner took the key that it has just asked for by name.
        """
        owner, document = self.settled.owners[owner_id], self.settled.documents[owner_id]
        asked = document.retention
        if asked is None:
            return None
        key = key_of(owner_id, owner)
        row = self.settled.holders.get(key)
        is_holder = row is not None and row.owner_id == owner_id
        now = self.age(key)
        count = await self.count(key) if is_holder else 0
        takeover: Literal["taken", "holder_differs"] | None = None
        if asked_takeover is not None:
            takeover = "taken" if asked_takeover else "holder_differs"
        requested = asked.max_age_hours
        return RetentionState(
            key=key,
            state=self._state(owner_id, row, document),
            ceiling_hours=self.settled.ceiling_hours,
            effective_hours=self.effective(now),
            holder=None if row is None else self.holder(row),
            requested_hours=requested,
            is_clamped=requested is not None and requested > self.settled.ceiling_hours,
            has_holds=any(not hold.released for hold in asked.holds),
            would_delete=count,
            is_estimate=count >= MAX_COUNTED,
            oldest_kept=format_ms(self.now_ms - self.effective(now) * HOUR_MS),
            pending=self.pending(now, count) if is_holder else None,
            takeover=takeover,
        )

    def _state(
        self, owner_id: str, row: HolderRow | None, document: OwnerDocument
    ) -> Literal["held", "conflict", "owned_elsewhere", "none"]:
        if not asks_for_age(document):
            return "none"
        if row is None or row.owner_id == owner_id:
            return "held"
        mine, theirs = self.settled.owners[owner_id], self.settled.owners[row.owner_id]
        return "conflict" if mine.cluster_id == theirs.cluster_id else "owned_elsewhere"

    async def keys(self, *, cluster_id: str | None = None) -> list[KeyState]:
        """Return the org's key and the clusters' (of one cluster, or all that somebody holds)."""
        held = sorted(self.settled.holders.keys() - {ORG_KEY})
        names = held if cluster_id is None else [f"cluster/{cluster_id}"]
        return [await self.key(name) for name in (ORG_KEY, *names)]

    async def key(self, key: str) -> KeyState:
        """Return one key: who holds it and what it comes to."""
        row = self.settled.holders.get(key)
        age = self.age(key)
        asked = None if row is None else self.settled.documents[row.owner_id].retention
        return KeyState(
            key=key,
            effective_hours=self.effective(age),
            holder=None if row is None else self.holder(row),
            requested_hours=None if asked is None else asked.max_age_hours,
            pending=self.pending(age, await self.count(key) if self.waits(age) else 0),
        )

    def age(self, key: str) -> Age:
        """Return the age in force of a key."""
        cluster = None if key == ORG_KEY else key.partition("/")[2]
        return age_of(self.settled.in_force.ages, cluster, self.now_ms)

    def effective(self, age: Age) -> int:
        """Return the hours that an age comes to under the plan."""
        return self._capped(age.hours)

    def _capped(self, hours: int | None) -> int:
        ceiling = self.settled.ceiling_hours
        return ceiling if hours is None else min(hours, ceiling)

    def waits(self, age: Age) -> bool:
        """Tell whether a shorter age waits."""
        return age.due_ms is not None and age.due_ms > self.now_ms

    def pending(self, age: Age, count: int) -> Pending | None:
        """Return the shorter age that waits, with what it would take."""
        if age.due_ms is None or not self.waits(age):
            return None
        return Pending(
            effective_hours=self._capped(age.next_hours),
            at=format_ms(age.due_ms),
            would_delete=count,
        )

    async def count(self, key: str) -> int:
        """Return what all that waits would take of a key's events, at most MAX_COUNTED."""
        if key not in self._counts:
            cluster = None if key == ORG_KEY else key.partition("/")[2]
            self._counts[key] = await would_delete(
                self.conn, self.org.id, self._floors(self.settled.in_force), self._then(), cluster
            )
        return self._counts[key]

    def _then(self) -> Floors:
        """Return the floors once every delay is over."""
        settled = self.settled
        ages = next_ages(
            settled.in_force.ages,
            settled.wanted,
            now_ms=_NEVER_MS,  # what waits then waits no longer
            delay_ms=0,
            ceiling_hours=settled.ceiling_hours,
        )
        return self._floors(InForce(ages=ages, holds=settled.in_force.holds))

    def _floors(self, settings: InForce) -> Floors:
        return floors(self.org.plan, self.now_ms, settings)

    def holder(self, row: HolderRow) -> Holder:
        """Return who holds a key, for an answer."""
        owner = self.settled.owners[row.owner_id]
        return Holder(
            owner_id=row.owner_id,
            since=format_ms(row.since_ms),
            cluster_name=self.names.get(owner.cluster_id or ""),
            is_stale=not owner.detached and self.now_ms - owner.seen_at_ms > SILENT_MS,
        )

    async def destinations(self, owner_id: str) -> list[DestinationState]:
        """Return how an owner's destinations stand; those of all owners are read at once."""
        if self._rows is None:
            self._rows = defaultdict(dict)
            for row in await list_destinations(self.conn, self.org.id):
                self._rows[row.owner_id][row.name] = row
            self._pending = await pending_counts(self.conn, self.org.id)
        return states(self.settled.documents[owner_id], self._rows[owner_id], self._pending)

    async def destinations_of_one(self, owner_id: str) -> list[DestinationState]:
        """Return the same, and read those of this owner alone."""
        rows = await list_destinations(self.conn, self.org.id, owner_id)
        pending = await pending_counts(self.conn, self.org.id, [row.id for row in rows])
        by_name = {row.name: row for row in rows}
        return states(self.settled.documents[owner_id], by_name, pending)

    def overridden(self) -> Override | None:
        """Return the override that lasts."""
        found = self.settled.override
        return None if found is None else Override(by=found.set_by, until=format_ms(found.until_ms))

    def overrides(self) -> list[AgeOverride]:
        """Return the overrides by action of the documents that hold a key."""
        asked = [self.settled.wanted.org, *self.settled.wanted.clusters.values()]
        return [each for one in asked if one is not None for each in one.overrides]


def etag(answer: msgspec.Struct) -> str:
    """Return the entity tag of an answer whose `now` is not part of it."""
    plain = msgspec.to_builtins(answer)
    plain.pop("now", None)
    digest = hashlib.sha256(msgspec.json.encode(plain, order="deterministic"))
    return f'"{digest.hexdigest()[:32]}"'
