"""From what was judged to the message that is stored: titles, events, ids, dedup keys. Pure.

Owns the words of messages about events, and which of two messages are the same. Called by the job
that follows the log and by the preview. Never reads the store, a clock or randomness.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from radar_audit_events.ids import format_ms

from .content import Content
from .finding import Seen
from .judging import Draft
from .sentences import sentence

EventKind = Literal["event", "digest"]


def kind_of(draft: Draft) -> EventKind:
    """Return which kind of content a draft becomes."""
    return "event" if draft.cause in ("event", "threshold", "group") else "digest"


def is_prompt(draft: Draft) -> bool:
    """Tell whether a draft is told as soon as it can be, and waited for nothing."""
    return draft.cause in ("event", "threshold")


def dedup_key(draft: Draft, events: Mapping[int, Seen]) -> str:
    """Return what makes a message the same as another of the org's.

    One event for one receiver is one message whoever's rule tells it. What is told together is
    named by its first event: an event is in no two groups, digests or sums of a rule.
    """
    first = draft.gathered.first_seq
    if draft.cause == "event":
        return f"{draft.route.identity}:{events[first].event.id}"
    owner, rule = draft.rule.key
    return f"{draft.route.destination_id}:{owner}:{rule}:{draft.cause}:{first}"


def content_of(draft: Draft, events: Mapping[int, Seen], *, org_id: str, org_name: str) -> Content:
    """Return the message of a draft; `events` by seq are those of it that are still visible."""
    gathered = draft.gathered
    shown = [events[seq] for seq in sorted(set(gathered.seqs)) if seq in events]
    several = gathered.total > 1 or draft.cause not in ("event", "threshold", "group")
    return Content(
        kind=kind_of(draft),
        org_id=org_id,
        org_name=org_name,
        owner_id=draft.rule.place.owner_id,
        rule=draft.rule.name,
        severity=draft.rule.severity,
        title=title(draft, shown),
        path=path(org_id, shown),
        events=[seen.event.public() for seen in shown],
        total=gathered.total,
        suppressed=gathered.suppressed,
        since=format_ms(gathered.since_ms) if several else None,
        until=format_ms(gathered.until_ms) if several else None,
    )


def title(draft: Draft, shown: Sequence[Seen]) -> str:
    """Return the sentence of a message: the event's own, or how many there were and the last."""
    gathered, rule = draft.gathered, draft.rule.name
    last = sentence(shown[-1].event) if shown else ""
    if gathered.total == 1 and not gathered.suppressed:
        return last or f"1 event of the rule {rule}, which has expired meanwhile"
    count = f"{gathered.total} {'event' if gathered.total == 1 else 'events'}"
    if draft.cause == "throttle":
        told = f"{count} of the rule {rule} held back by its throttle"
    else:
        told = f"{count} of the rule {rule}"
    return f"{told}; the last one: {last}" if last else told


def path(org_id: str, shown: Sequence[Seen]) -> str:
    """Return the page that shows one event, or the org's log."""
    page = f"/orgs/{org_id}/activity"
    return f"{page}/{shown[0].event.id}" if len(shown) == 1 else page
