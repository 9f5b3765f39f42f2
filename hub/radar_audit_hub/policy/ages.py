"""Which ages the owners' settings come to, and when a shorter one comes into force: pure.

Owns the order of precedence (an override by action, else the cluster's age, else the org's, else
the plan's) and the rule that nothing is deleted early. Called whenever an owner's settings, the
holders or the plan change. Never reads a clock, and knows no owner: only whose settings count.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from radar_audit_events.actions import ACTIONS
from radar_audit_events.policy_wire import RetentionSettings

from radar_audit_hub.retention.in_force import HOUR_MS, Age

Hours = int | None  # None: as long as the plan gives, which is longer than any number
OTHERS_DELAY_MS = 24 * HOUR_MS  # least delay where the one who changes something decides nothing
_EXACT = 1_000  # an action by its name is more particular than by any prefix


@dataclass(frozen=True, slots=True)
class Wanted:
    """The settings that count: the org's (None: nobody asks) and those of clusters by id."""

    org: RetentionSettings | None
    clusters: Mapping[str, RetentionSettings]

    def hours(self, cluster_id: str | None, action: str | None) -> Hours:
        """Return the hours that a class of events is to be kept; `action` None: any other one."""
        org_override = _override(self.org, action)
        org_age = org_override or (self.org.max_age_hours if self.org else None)
        mine = None if cluster_id is None else self.clusters.get(cluster_id)
        if mine is None:
            return org_age
        own = _override(mine, action) or org_override or mine.max_age_hours
        if own is None or self.org is None:
            return org_age if own is None else own
        rule = self.org.cluster_overrides or "longer"
        if rule == "none":
            return org_age
        return own if rule == "any" else longest(own, org_age)

    def actions(self) -> set[str]:
        """Return the actions that some override names."""
        named = (self.org, *self.clusters.values())
        return {action for one in named for action in ACTIONS if _override(one, action)}


def longest(one: Hours, other: Hours) -> Hours:
    """Return the longer of two ages."""
    return None if one is None or other is None else max(one, other)


def _override(settings: RetentionSettings | None, action: str | None) -> Hours:
    """Return the hours of the most particular override that names the action, else None."""
    if settings is None or action is None:
        return None
    found: list[tuple[int, int]] = []
    for override in settings.overrides:
        for pattern in override.actions:
            if pattern == action:
                found.append((_EXACT, override.max_age_hours))
            elif pattern.endswith("*") and action.startswith(pattern[:-1]):
                found.append((len(pattern), override.max_age_hours))
    return max(found)[1] if found else None


def next_ages(
    ages: Sequence[Age],
    wanted: Wanted,
    *,
    now_ms: int,
    delay_ms: int,
    ceiling_hours: int,
    about: Collection[str] | None = None,
) -> tuple[Age, ...]:
    """Return the ages in force from `now_ms` (Unix ms) on, the least number that says it all.

    A longer age counts at once. A shorter one waits `delay_ms`; asked for again it waits neither
    anew nor less, and asking for a longer one cancels it. `about` names the clusters that who
    changes something decides on (None: all of the org); elsewhere a day is the least delay. Up to
    `ceiling_hours`, the plan's, there is nothing to tell two ages apart: nothing would be deleted.
    """
    now = _InForce(ages, now_ms)
    clusters: list[str | None] = [None, *sorted(now.clusters | set(wanted.clusters))]
    actions: list[str | None] = [None, *sorted(now.actions | wanted.actions())]

    def next_age(cluster_id: str | None, action: str | None) -> Age:
        before, hours = now.age(cluster_id, action), wanted.hours(cluster_id, action)
        age = Age(cluster_id=cluster_id, action=action, hours=hours)
        if not _is_shorter(hours, before.hours, ceiling_hours):
            return age
        waits = before.due_ms is not None and not _is_shorter(
            hours, before.next_hours, ceiling_hours
        )
        is_its_own = about is None or cluster_id in about
        wait_ms = delay_ms if is_its_own else max(delay_ms, OTHERS_DELAY_MS)
        if wait_ms <= 0 and not waits:
            return age
        return Age(
            cluster_id=cluster_id,
            action=action,
            hours=before.hours,
            next_hours=hours,
            due_ms=before.due_ms if waits else now_ms + wait_ms,
        )

    rows = {name: [next_age(name, action) for action in actions] for name in clusters}
    org = rows.pop(None)
    kept = [*_distinct(org, _PLAN)]
    for mine in rows.values():
        if any(_what(a) != _what(b) for a, b in zip(mine, org, strict=True)):
            kept += [mine[0], *_distinct(mine[1:], mine[0])]
    return tuple(kept)


_PLAN = Age(hours=None)


def age_of(ages: Sequence[Age], cluster_id: str | None, now_ms: int) -> Age:
    """Return the age of a cluster's events (None: of the org's) at `now_ms` (Unix ms)."""
    return _InForce(ages, now_ms).age(cluster_id, None)


def _distinct(rows: Sequence[Age], default: Age) -> list[Age]:
    """Return the rows that differ from the first of them, and that one if it is not the default."""
    kept: list[Age] = []
    for age in rows:
        if age.action is None:
            if _what(age) != _what(default):
                kept.append(age)
            default = age
        elif _what(age) != _what(default):
            kept.append(age)
    return kept


def _what(age: Age) -> tuple[Hours, Hours, int | None]:
    return age.hours, age.next_hours, age.due_ms


def _is_shorter(one: Hours, other: Hours, ceiling_hours: int) -> bool:
    def effective(hours: Hours) -> int:
        return ceiling_hours if hours is None else min(hours, ceiling_hours)

    return effective(one) < effective(other)


class _InForce:
    """Looks up the age of any class in a list that names only those that differ."""

    def __init__(self, ages: Sequence[Age], now_ms: int) -> None:
        self._ages = {
            (age.cluster_id, age.action): Age(
                cluster_id=age.cluster_id, action=age.action, hours=age.next_hours
            )
            if age.is_due(now_ms)
            else age
            for age in ages
        }
        self.clusters = {age.cluster_id for age in ages if age.cluster_id is not None}
        self.actions = {age.action for age in ages if age.action is not None}

    def age(self, cluster_id: str | None, action: str | None) -> Age:
        scope = cluster_id if cluster_id in self.clusters else None
        return self._ages.get((scope, action)) or self._ages.get((scope, None)) or _PLAN
