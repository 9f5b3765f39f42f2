"""When an event is too old to be seen: the retention rules, as pure functions.

Owns the plan's ages and the floor (the oldest visible creation time) as a
function of an event's action and cluster. Called by every read path and by the
purge job. Never reads a clock and never touches the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

DAY_MS = 86_400_000
# Radar Cloud's public plans: Free keeps 7 days, Team 30, Enterprise 365.
PLAN_DAYS: Mapping[str, int] = MappingProxyType({"free": 7, "team": 30, "enterprise": 365})
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


def floors(plan: str, now_ms: int) -> Floors:
    """Return the floors of a plan at `now_ms`. Raises KeyError for an unknown plan.

    An event exactly as old as the plan's age is still seen; one millisecond
    older is not. Receipts of purges never expire: without them a gap in the log
    could not be told from tampering.
    """
    floor = max(now_ms - PLAN_DAYS[plan] * DAY_MS, 0)
    return Floors(floor, (FloorException(RECEIPT_ACTION, 0),))
