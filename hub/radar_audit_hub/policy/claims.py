"""Who holds a key of the retention, and which owners are gone: pure.

Owns the rules of `docs/audit-policy.md`: the present holder stays, a free key goes to the oldest
claimant, between clusters a key moves only by naming its exact holder; and an owner is released
by two complete lists ten minutes apart that do not have it, unless most vanished at once. Called
by the routes of the agent API. Never reads a clock and never touches the store.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

ORG_KEY = "org"
MISSING_MS = 10 * 60 * 1000  # between the two lists that release an owner


def cluster_key(cluster_id: str) -> str:
    """Return the key of one cluster's age."""
    return f"cluster/{cluster_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An owner that asks for a key; `created_at_ms` (Unix ms) is its object's in the cluster."""

    owner_id: str
    created_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeover:
    """An owner that has just asked for a key which `holder_id` was to give up."""

    owner_id: str
    holder_id: str


def holder(
    present: str | None, claims: Sequence[Claim], takeover: Takeover | None = None
) -> str | None:
    """Return who holds a key from now on, None where nobody asks for it."""
    names = {claim.owner_id for claim in claims}
    if present in names:
        exact = takeover is not None and takeover.holder_id == present
        if exact and takeover is not None and takeover.owner_id in names:
            return takeover.owner_id
        return present
    oldest = min(claims, key=lambda claim: (claim.created_at_ms, claim.owner_id), default=None)
    return None if oldest is None else oldest.owner_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A stored owner, and since when (Unix ms) complete lists do not have it: None if they do."""

    owner_id: str
    missing_since_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """What a list of live owners means: who is released, newly missing, and back again.

    `is_blocked`: more than half of the known (and more than one) are missing: nobody is released.
    """

    released: tuple[str, ...] = ()
    newly_missing: tuple[str, ...] = ()
    back: tuple[str, ...] = ()
    missing: int = 0
    is_blocked: bool = False


def census(
    known: Sequence[Known], live: Collection[str], *, is_complete: bool, now_ms: int, agreed: bool
) -> Census:
    """Judge a list of live owners; an incomplete one only tells who is back.

    `agreed`: an admin has looked and agrees that those who are missing are gone.
    """
    back = tuple(o.owner_id for o in known if o.owner_id in live and o.missing_since_ms is not None)
    if not is_complete:
        return Census(back=back)
    missing = [owner for owner in known if owner.owner_id not in live]
    newly = tuple(o.owner_id for o in missing if o.missing_since_ms is None)
    # One that is gone is a deletion that nobody saw; several, and most of them, rather a fault.
    blocked = len(missing) > 1 and len(missing) * 2 > len(known) and not agreed
    long_gone = tuple(
        owner.owner_id
        for owner in missing
        if owner.missing_since_ms is not None and now_ms - owner.missing_since_ms >= MISSING_MS
    )
    return Census(
        released=() if blocked else long_gone,
        newly_missing=newly,
        back=back,
        missing=len(missing),
        is_blocked=blocked,
    )
