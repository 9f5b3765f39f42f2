"""What rules would have told over the last days, without anything being stored or sent.

Owns the reading for it and its bounds in rows and time. Called by the API's route, by pages and
by the operator's trial of a document. Never shows what retention hides, and says where it
stopped early.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from radar_audit_events.ids import event_time_ms, format_ms
from radar_audit_events.policy_wire import AlertRule, OwnerDocument
from radar_audit_events.query import MAX_TERMS, Created, Query, Term, Value, parse

from radar_audit_hub.policy.mistakes import actions_of
from radar_audit_hub.retention.policy import DAY_MS, Floors, floors_of
from radar_audit_hub.store import query as reading
from radar_audit_hub.store.database import Database
from radar_audit_hub.store.notify_following import get_followed_org
from radar_audit_hub.store.notify_reading import events_at

from .finding import Seen
from .rules import Place, Route, Rule, is_active, make_rule, place_of
from .sentences import sentence
from .simulating import play

MAX_DAYS = 30
MAX_MATCHED = 2000  # events of one rule
MAX_SECONDS = 3.0  # for all rules together
_PAGE_ROWS = 500
_SAMPLES = 5
_TRIAL_DAYS = 7
_TRIAL_SECONDS = 1.0
_ANYWHERE = Route(destination_id="any", name="any", identity="any")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One of the newest events that a rule selects, in a sentence."""

    id: str
    created_at: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """One rule over the last days: events that it selects, messages to each of its destinations.

    `suppressed` of the events a throttle would have held back. Not `is_complete`: only events
    from `since` on were looked at, as there are many.
    """

    name: str
    matched: int
    would_have_sent: int
    suppressed: int
    is_complete: bool
    since: str
    samples: tuple[Sample, ...]


async def preview(
    db: Database,
    org_id: str,
    asked: Sequence[AlertRule],
    *,
    place: Place,
    floors: Floors,
    days: int,
    now_ms: int,
    max_seconds: float = MAX_SECONDS,
) -> list[Preview]:
    """Return for each rule what it would have told over `days`, as if it had been there.

    The rules are checked ones. A rule is taken as active and not muted; its destinations are not
    looked at. Of what is older than retention lets see nothing is counted.
    """
    ends = time.monotonic() + max_seconds
    found = []
    for rule in asked:
        heard = msgspec.structs.replace(rule, muted_until=None)
        ready = make_rule(heard, place, (_ANYWHERE,))
        search = _Search(db, org_id, rule, ready, floors, now_ms - days * DAY_MS, now_ms)
        found.append(await search.run(ends))
    return found


async def would_have_sent(
    db: Database, org_id: str, document: OwnerDocument, cluster_id: str | None, now_ms: int
) -> dict[str, int]:
    """Return what a document's rules would have told each destination over a week, by rule.

    It is counted for a second at most, so that who tries a document is not kept waiting.
    """
    asked = document.notifications
    rules = [] if asked is None else [rule for rule in asked.rules if is_active(rule)]
    if asked is None or not rules:
        return {}
    async with db.read() as conn:
        org = await get_followed_org(conn, org_id)
    found = await preview(
        db,
        org_id,
        rules,
        place=place_of("trial", cluster_id, asked, speaks_for_org=document.scope == "organization"),
        floors=floors_of(org, now_ms),
        days=_TRIAL_DAYS,
        now_ms=now_ms,
        max_seconds=_TRIAL_SECONDS,
    )
    return {one.name: one.would_have_sent for one in found}


@dataclass(slots=True)
class _Search:
    """The looking for one rule's events, the newest first."""

    db: Database
    org_id: str
    asked: AlertRule
    rule: Rule
    floors: Floors
    from_ms: int
    now_ms: int

    async def run(self, ends: float) -> Preview:
        """Look until all is found, or rows or time (monotonic seconds) are used up."""
        events, since_ms = await self._events(ends)
        events.sort(key=lambda seen: seen.seq)
        played = play(self.rule, events)
        newest = sorted(events, key=lambda seen: seen.event.id, reverse=True)[:_SAMPLES]
        return Preview(
            name=self.asked.name,
            matched=len(events),
            would_have_sent=played.messages,
            suppressed=played.suppressed,
            is_complete=since_ms <= self.from_ms,
            since=format_ms(since_ms),
            samples=tuple(
                Sample(
                    id=seen.event.id,
                    created_at=format_ms(seen.event.created_at_ms),
                    title=sentence(seen.event),
                )
                for seen in newest
            ),
        )

    async def _events(self, ends: float) -> tuple[list[Seen], int]:
        """Return the events, and since when (Unix ms) they are all there are."""
        found: list[Seen] = []
        before, since_ms = None, self.now_ms
        if not self.rule.finder.actions:
            return [], self.from_ms
        query = self._query()
        while len(found) < MAX_MATCHED and time.monotonic() < ends:
            page = await reading.page(
                self.db, self.org_id, query, self.floors, before=before, limit=_PAGE_ROWS
            )
            async with self.db.read() as conn:
                seqs = [row.seq for row in page.rows]
                seen = await events_at(conn, self.org_id, self.floors, seqs)
            found += [one for one in seen if self.rule.selects(one)]
            if page.next_before is None:
                return found, self.from_ms
            before = page.next_before
            since_ms = event_time_ms(before)
        return found, since_ms

    def _query(self) -> Query:
        """Return a query that finds all of the rule's events, and as few others as it can."""
        terms = list(parse(self.asked.query or "").terms)
        actions = sorted(
            frozenset().union(*(actions_of(pattern) for pattern in self.asked.actions))
        )
        place = self.rule.place
        narrower: list[Term | Created] = [Created(self.from_ms, None)]
        if actions:
            narrower.append(Term("action", tuple(Value(name) for name in actions)))
        if place.only_namespace is not None:
            narrower.append(Term("namespace", (Value(place.only_namespace),)))
        if place.cluster_id is not None:
            narrower.append(Term("cluster", (Value(place.cluster_id),)))
        return Query((*narrower, *terms)[:MAX_TERMS])
