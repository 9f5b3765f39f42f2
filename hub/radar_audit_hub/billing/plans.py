"""What each plan gives, and which Stripe price stands for it: facts, as pure functions.

Owns the plans' days of retention and limits, the only place that has them. Called by billing,
by the clusters' rules, by `retention/policy.py` and by the admin command. Never reads settings,
a clock or the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

FREE, TEAM, ENTERPRISE = "free", "team", "enterprise"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a plan gives: days that events are kept, clusters it may have (None: any number)."""

    retention_days: int
    max_clusters: int | None


# Radar Cloud's public plans, the smallest first.
PLANS: Mapping[str, Plan] = MappingProxyType(
    {FREE: Plan(7, 3), TEAM: Plan(30, None), ENTERPRISE: Plan(365, None)}
)
_RANKS = {name: rank for rank, name in enumerate(PLANS)}


@dataclass(frozen=True, slots=True)
class Prices:
    """The Stripe prices of each plan: the first one is sold, older ones still pay for it."""

    team: tuple[str, ...] = ()
    enterprise: tuple[str, ...] = ()

    def price_of(self, plan: str) -> str | None:
        """Return the price at which a plan is sold, None if it is not sold here."""
        return next(iter(self._all().get(plan, ())), None)

    def plan_of(self, price: str) -> str | None:
        """Return the plan that a price pays for, None for one that is not ours."""
        return next((plan for plan, prices in self._all().items() if price in prices), None)

    def sold(self) -> tuple[str, ...]:
        """Return the plans that can be bought."""
        return tuple(plan for plan, prices in self._all().items() if prices)

    def _all(self) -> dict[str, tuple[str, ...]]:
        return {TEAM: self.team, ENTERPRISE: self.enterprise}


def cluster_limit(plan: str) -> int | None:
    """Return how many clusters a plan may have, None for any number. Raises KeyError."""
    return PLANS[plan].max_clusters


def rank(plan: str) -> int:
    """Return a plan's place, the smallest plan first. Raises KeyError."""
    return _RANKS[plan]
