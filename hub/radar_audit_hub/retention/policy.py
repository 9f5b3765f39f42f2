"""When an event is too old to be seen, and when to be kept: the retention rules, as pure functions.

Owns the floor (the oldest visible creation time) as a function of an event's action and
cluster, and the lower one that deletion goes by while a downgrade is held. Called by every read
path and by the purge job. Never reads a clock and never touches the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from radar_audit_events.query import Query

from radar_audit_hub.billing.plans import PLANS, rank

from .in_force import HOUR_MS, NOTHING, Age, InForce, read

DAY_MS = 86_400_000
PLAN_DAYS: Mapping[str, int] = MappingProxyType(
    {name: plan.retention_days for name, plan in PLANS.items()}
)
RECEIPT_ACTION = "audit.retention_pruned"


@dataclass(frozen=True, slots=True)
class FloorException:
    """Another floor for one action; times are Unix milliseconds."""

    action: str
    floor_ms: int


@dataclass(frozen=True, slots=True)
class ClusterFloor:
    """The floors of one cluster's events, instead of those of the org."""

    cluster_id: str
    default_ms: int
    exceptions: tuple[FloorException, ...] = ()


@dataclass(frozen=True, slots=True)
class Floors:
    """The oldest visible `created_at` in Unix milliseconds: a default and exceptions by action.

    `clusters` have floors of their own; what a query of `held` finds is visible whatever its age.
    """

    default_ms: int
    exceptions: tuple[FloorException, ...] = ()
    clusters: tuple[ClusterFloor, ...] = ()
    held: tuple[Query, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether the action alone decides: what day counters and lists by action can answer."""
        return not self.clusters and not self.held

    def floor_for(self, action: str, cluster_id: str | None = None) -> int:
        """Return the floor of an action's events of one cluster (None: of none)."""
        scope: Floors | ClusterFloor = self
        for cluster in self.clusters:
            if cluster.cluster_id == cluster_id:
                scope = cluster
        for exception in scope.exceptions:
            if exception.action == action:
                return exception.floor_ms
        return scope.default_ms

    def lowest_for(self, action: str) -> int:
        """Return the lowest floor that events of an action may have, 0 where a hold lasts."""
        if self.held:
            return 0
        names = (None, *(cluster.cluster_id for cluster in self.clusters))
        return min(self.floor_for(action, name) for name in names)

    def lowest_of_clusters(self) -> int:
        """Return the lowest floor of any cluster of its own, 0 where a hold lasts."""
        if self.held:
            return 0
        return min(
            (
                floor
                for cluster in self.clusters
                for floor in (cluster.default_ms, *(e.floor_ms for e in cluster.exceptions))
            ),
            default=self.default_ms,
        )

    def highest(self) -> int:
        """Return the floor above which everything is visible."""
        scopes: tuple[Floors | ClusterFloor, ...] = (self, *self.clusters)
        return max(
            floor
            for scope in scopes
            for floor in (scope.default_ms, *(e.floor_ms for e in scope.exceptions))
        )

    def since(self, start_ms: int) -> Floors:
        """Return floors that hide the same of what is not older than `start_ms` (Unix ms).

        Where that is nothing, they are a plain default: then no search has to look at a row for it.
        """
        return Floors(start_ms) if self.highest() <= start_ms else self

    def visible(self, action: str, created_at_ms: int, cluster_id: str | None = None) -> bool:
        """Tell whether an event of this action, time and cluster may still be seen for its age."""
        return created_at_ms >= self.floor_for(action, cluster_id)


@dataclass(frozen=True, slots=True)
class Hold:
    """What a larger plan kept is not deleted before `until_ms` (Unix ms), so one can go back."""

    plan: str
    until_ms: int


@dataclass(frozen=True, slots=True)
class Expiry:
    """What may be deleted now, and the name of the rule for the receipt."""

    floors: Floors
    policy_name: str


class Governed(Protocol):
    """What an org's retention follows from: its plan, and the text of `in_force.write`."""

    @property
    def plan(self) -> str:
        """Return the plan's name."""

    @property
    def retention(self) -> str | None:
        """Return the settings in force, None where the plan alone counts."""


def floors_of(org: Governed, now_ms: int) -> Floors:
    """Return the floors of an org, or of somebody's who calls for it, at `now_ms` (Unix ms)."""
    return floors(org.plan, now_ms, read(org.retention))


def floors(plan: str, now_ms: int, settings: InForce = NOTHING) -> Floors:
    """Return the floors of a plan with settings at `now_ms`. Raises KeyError for an unknown plan.

    An event exactly as old as its age is still seen; one millisecond older is not. No age is
    above the plan's. Receipts of purges never expire: without them a gap in the log could not be
    told from tampering.
    """
    scopes: dict[str | None, dict[str | None, int]] = {None: {}}
    for age in settings.ages:
        scopes.setdefault(age.cluster_id, {})[age.action] = _floor(plan, age, now_ms)
    default = scopes[None].pop(None, _floor(plan, None, now_ms))
    exceptions = _exceptions(scopes.pop(None), default)
    clusters = []
    for name, mine in sorted(scopes.items(), key=lambda item: item[0] or ""):
        own = mine.pop(None, default)
        floor = ClusterFloor(name or "", own, _exceptions(mine, own))
        if (floor.default_ms, floor.exceptions) != (default, exceptions):
            clusters.append(floor)
    receipts = FloorException(RECEIPT_ACTION, 0)
    return Floors(
        default, (receipts, *exceptions), tuple(clusters), tuple(settings.queries_at(now_ms))
    )


def _exceptions(actions: Mapping[str | None, int], default: int) -> tuple[FloorException, ...]:
    return tuple(
        FloorException(action, floor)
        for action, floor in sorted(actions.items(), key=lambda item: item[0] or "")
        if action is not None and action != RECEIPT_ACTION and floor != default
    )


def _floor(plan: str, age: Age | None, now_ms: int) -> int:
    hours = None if age is None else age.hours_at(now_ms)
    longest = PLAN_DAYS[plan] * DAY_MS
    return max(now_ms - (longest if hours is None else min(hours * HOUR_MS, longest)), 0)


def expiry(plan: str, holds: Iterable[Hold], now_ms: int, settings: InForce = NOTHING) -> Expiry:
    """Return what may be deleted of an org on `plan` at `now_ms`. Raises KeyError.

    It is what plan and settings hide, but for what a hold's plan would still show: until the hold
    ends its rows age as they did on that plan. A receipt names the plan whose age was decisive,
    and the settings where there are any.
    """
    kept = max((plan, *(hold.plan for hold in holds if hold.until_ms > now_ms)), key=rank)
    name = f"plan:{kept}" + ("+settings" if settings.ages or settings.holds else "")
    return Expiry(floors(kept, now_ms, settings), name)
