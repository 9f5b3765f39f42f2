"""When an event is too old to be seen, and when to be kept: the retention rules, as pure functions.

Owns the floor (the oldest visible creation time) as a function of an event's action and
cluster, and the lower one that deletion goes by while a downgrade is held. Called by every read
path and by the purge job. Never reads a clock and never touches the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from radar_audit_hub.billing.plans import PLANS, rank

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
class Floors:
    """The oldest visible `created_at` in Unix milliseconds: a default and exceptions by action."""

    default_ms: int
    exceptions: tuple[FloorException, ...] = ()

    def floor_for(self, action: str) -> int:
        """Return the floor of one action."""
        for exception in self.exceptions:
            if exception.action == action:
                return exception.floor_ms
        return self.default_ms

    def visible(self, action: str, created_at_ms: int) -> bool:
        """Tell whether an event of this action and time may still be seen."""
        return created_at_ms >= self.floor_for(action)


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


def floors(plan: str, now_ms: int) -> Floors:
    """Return the floors of a plan at `now_ms`. Raises KeyError for an unknown plan.

    An event exactly as old as the plan's age is still seen; one millisecond
    older is not. Receipts of purges never expire: without them a gap in the log
    could not be told from tampering.
    """
    floor = max(now_ms - PLAN_DAYS[plan] * DAY_MS, 0)
    return Floors(floor, (FloorException(RECEIPT_ACTION, 0),))


def expiry(plan: str, holds: Iterable[Hold], now_ms: int) -> Expiry:
    """Return what may be deleted of an org on `plan` at `now_ms`. Raises KeyError.

    It is what the plan hides, but for what a hold's plan would still show: until the hold ends
    its rows age as they did on that plan. A receipt names the plan whose age was decisive.
    """
    kept = max((plan, *(hold.plan for hold in holds if hold.until_ms > now_ms)), key=rank)
    return Expiry(floors(kept, now_ms), f"plan:{kept}")
