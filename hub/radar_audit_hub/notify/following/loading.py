"""The rules that are in force of an org, read from its owners' documents and kept ready.

Owns the way from documents and destinations to a `RuleSet`, and the bounded memory of those that
were used last. Called by the steps of the job and by Radar's own kinds. Never judges anything, and
never makes so many rules at once that other requests have to wait.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import msgspec
from radar_audit_events.errors import QueryError, TimeError

from radar_audit_hub.notify.rules import Rule, RuleSet, place_of, rules_of
from radar_audit_hub.policy.claims import ORG_KEY
from radar_audit_hub.policy.settling import key_of, read_document
from radar_audit_hub.store.database import Connection
from radar_audit_hub.store.notify_destinations import list_destinations
from radar_audit_hub.store.notify_following import get_routes
from radar_audit_hub.store.owners import Owner, list_owners

from .starting import read_since

# Of the rules of all orgs together: 1 for each and for each test of its query, which are some
# hundred bytes.
KEPT_WEIGHT = 100_000
_SLICE_SECONDS = 0.01  # rules are made for so long before others get their turn
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Made:
    """An owner's rules, and the SHA-256 of all that they were made of."""

    digest: bytes
    rules: list[Rule]


@dataclass(frozen=True, slots=True)
class _Kept:
    """An org's rules of a `revision` (None: to be read anew), and whose of them they are."""

    revision: int | None
    rules: RuleSet = field(default_factory=lambda: RuleSet(()))
    made: Mapping[str, _Made] = field(default_factory=dict)
    weight: int = 1


async def load_rules(conn: Connection, org_id: str, kind: str | None = None) -> RuleSet:
    """Return the rules of all documents in force, of those that are kept without their object, too.

    With a `kind` of Radar's own only those that name it. Who does not speak for the org has alerts
    of its own cluster only.
    """
    return RuleSet(_all(await _load(conn, org_id, kind, {})))


async def _load(
    conn: Connection, org_id: str, kind: str | None, before: Mapping[str, _Made]
) -> dict[str, _Made]:
    """Return the rules by owner; those `before` whose documents are the same as they were."""
    routes = await get_routes(conn, org_id)
    if not routes:
        return {}
    identities: dict[str, dict[str, tuple[str, str]]] = {}
    for row in await list_destinations(conn, org_id):
        identities.setdefault(row.owner_id, {})[row.name] = (row.id, row.identity.hex())
    found: dict[str, _Made] = {}
    since = time.monotonic()
    for owner in await list_owners(conn, org_id):
        route = routes.get(owner.owner_id)
        if route is None:
            continue
        names = identities.get(owner.owner_id, {})
        digest = _digest(owner, route, names)
        known = before.get(owner.owner_id)
        try:
            if known is None or known.digest != digest:
                known = _Made(digest, _rules(owner, route, names, kind))
            found[owner.owner_id] = known
        except (QueryError, TimeError):  # stored by another version: the others' alerts go on
            _logger.exception("an owner's alert rules cannot be read", extra={"org_id": org_id})
        if time.monotonic() - since > _SLICE_SECONDS:
            await asyncio.sleep(0)
            since = time.monotonic()
    return found


def _all(made: Mapping[str, _Made]) -> tuple[Rule, ...]:
    return tuple(rule for one in made.values() for rule in one.rules)


def _digest(owner: Owner, since: str, identities: Mapping[str, tuple[str, str]]) -> bytes:
    parts = [owner.cluster_id, owner.scope, owner.document, since, sorted(identities.items())]
    return hashlib.sha256(msgspec.json.encode(parts)).digest()


def _rules(
    owner: Owner, since: str, identities: Mapping[str, tuple[str, str]], kind: str | None
) -> list[Rule]:
    asked = read_document(owner).notifications
    if asked is None:
        return []
    if kind is not None:  # to make the others ready would take far longer than to pass them over
        rules = [rule for rule in asked.rules if kind in rule.kinds]
        asked = msgspec.structs.replace(asked, rules=rules)
    speaks_for_org = key_of(owner.owner_id, owner) == ORG_KEY
    place = place_of(owner.owner_id, owner.cluster_id, asked, speaks_for_org=speaks_for_org)
    return rules_of(asked, place, read_since(since), identities)


class RuleSets:
    """Rule sets by org, each of one revision of its documents; the least used go first."""

    def __init__(self, most: int = KEPT_WEIGHT) -> None:
        """Know none yet; keep rules of at most such a weight, and always the set used last."""
        self._most = most
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    async def of(self, conn: Connection, org_id: str, revision: int) -> RuleSet:
        """Return an org's rules at a revision, read only if another one was kept.

        Of another one those are kept whose documents have not changed since. On PostgreSQL they
        may be of a later revision: whoever acts by them checks that there is none when he commits.
        """
        known = self._kept.pop(org_id, _Kept(None))
        if known.revision != revision:
            made = await _load(conn, org_id, None, known.made)
            rules = _all(made)
            weight = 1 + sum(1 + len(rule.finder.tests) for rule in rules)
            known = _Kept(revision, RuleSet(rules), made, weight)
        self._kept[org_id] = known
        total = sum(kept.weight for kept in self._kept.values())
        while total > self._most and len(self._kept) > 1:
            _, least = self._kept.popitem(last=False)
            total -= least.weight
        return known.rules

    def forget(self, org_id: str) -> None:
        """Have an org's documents looked at anew."""
        known = self._kept.get(org_id)
        if known is not None:
            self._kept[org_id] = replace(known, revision=None)
