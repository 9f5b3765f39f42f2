"""Radar's own kinds of notices, such as a cluster that is disconnected, put as messages.

Owns `tell_kind`, which whoever notices something calls inside its change. The same rules decide
as for events: those that name the kind, with their destinations, severities, mutes and quiet
hours. A notice is a message of its own: a digest and quiet hours make it wait, thresholds, groups
and throttles are for events. Never opens a transaction.
"""

from __future__ import annotations

import secrets
from collections.abc import Container, Mapping

from radar_audit_events.ids import new_id

from radar_audit_hub.changes import Change
from radar_audit_hub.store.notify_destinations import disabled_ids
from radar_audit_hub.store.notify_following import get_followed_org
from radar_audit_hub.store.notify_messages import MESSAGE_PREFIX, NewMessage, put_messages

from .content import Content, encode
from .following.loading import load_rules
from .rules import Route, Rule, RuleSet, claim, raised
from .windows import digest_end, quiet_until

Fact = str | int | bool | None


async def tell_kind(
    change: Change,
    org_id: str,
    kind: str,
    facts: Mapping[str, Fact],
    dedup_key: str,
    *,
    title: str,
    path: str | None = None,
    cluster_id: str | None = None,
) -> int:
    """Put the messages of a notice and return how many; those of `dedup_key` are put once.

    `title` is one sentence for people, `path` the page that shows more (none: the org's).
    `cluster_id` is the cluster that it is about, None for the whole org. After the commit
    `hub.deliveries.wake()` has them delivered at once, else they go out a moment later.
    """
    rules = await load_rules(change.conn, org_id, kind)
    disabled = await disabled_ids(change.conn, org_id) if rules.rules else frozenset()
    chosen = notices(rules, kind, cluster_id, change.now_ms, disabled)
    if not chosen:
        return 0
    org = await get_followed_org(change.conn, org_id)
    messages = []
    for route, rule in chosen:
        content = Content(
            kind="notice",
            org_id=org_id,
            org_name=org.name,
            owner_id=rule.place.owner_id,
            rule=rule.name,
            severity=rule.severity,
            title=title,
            path=path or f"/orgs/{org_id}",
            notice_kind=kind,
            facts=dict(facts),
        )
        messages.append(
            NewMessage(
                org_id=org_id,
                id=new_id(MESSAGE_PREFIX, change.now_ms, secrets.token_bytes(10)),
                destination_id=route.destination_id,
                owner_id=rule.place.owner_id,
                rule=rule.name,
                kind="notice",
                severity=rule.severity,
                dedup_key=f"{route.identity}:{dedup_key}",
                payload=encode(content),
                event_ids=None,
                created_at=change.now_ms,
                due_at=due_ms(rule, change.now_ms),
            )
        )
    put = await put_messages(change.conn, messages)
    change.notices += put
    return put


def notices(
    rules: RuleSet,
    kind: str,
    cluster_id: str | None,
    now_ms: int,
    disabled: Container[str] = (),
) -> list[tuple[Route, Rule]]:
    """Return where a notice goes and by which rule: to each receiver once, as `claim` says.

    `disabled` are ids of destinations.
    """
    best: dict[str, tuple[Route, Rule]] = {}
    for rule in rules.rules:
        if not rule.selects_kind(kind, cluster_id) or rule.is_muted(now_ms):
            continue
        for route in rule.routes:
            if not route.takes(rule.severity, now_ms):
                continue
            mine = route, rule
            known = best.get(route.identity, mine)
            first, second = (
                (known, mine)
                if claim(known[1], known[0], disabled) >= claim(rule, route, disabled)
                else (mine, known)
            )
            best[route.identity] = first[0], raised(first[1], second[1])
    return list(best.values())


def due_ms(rule: Rule, now_ms: int) -> int:
    """Return when a notice of now may go out (Unix ms): at the digest's end, after quiet hours."""
    due = now_ms if rule.digest_seconds is None else digest_end(now_ms, rule.digest_seconds)
    if rule.severity == "critical":
        return due
    return quiet_until(rule.quiet, due) or due
