"""The rules that are in force of an org, read from its owners' documents and kept ready.

Owns the way from documents and destinations to a `RuleSet`, and the bounded memory of those that
were used last. Called by the steps of the job and by Radar's own kinds. Never judges anything.
"""

from __future__ import annotations

import logging
from collections import OrderedDict

from radar_audit_events.errors import QueryError, TimeError

from radar_audit_hub.notify.rules import Rule, RuleSet, place_of, rules_of
from radar_audit_hub.policy.claims import ORG_KEY
from radar_audit_hub.policy.settling import key_of, read_document
from radar_audit_hub.store.database import Connection
from radar_audit_hub.store.notify_destinations import list_destinations
from radar_audit_hub.store.notify_following import get_routes
from radar_audit_hub.store.owners import Owner, list_owners

from .starting import read_since

KEPT_RULES = 20_000  # of all orgs together, some kilobytes each
_logger = logging.getLogger(__name__)


async def load_rules(conn: Connection, org_id: str) -> RuleSet:
    """Return the rules of all documents in force, of those that are kept without their object, too.

    Who does not speak for the org has alerts of its own cluster only.
    """
    routes = await get_routes(conn, org_id)
    if not routes:
        return RuleSet(())
    identities: dict[str, dict[str, tuple[str, str]]] = {}
    for row in await list_destinations(conn, org_id):
        identities.setdefault(row.owner_id, {})[row.name] = (row.id, row.identity.hex())
    found: list[Rule] = []
    for owner in await list_owners(conn, org_id):
        since = routes.get(owner.owner_id)
        if since is None:
            continue
        try:
            found += _rules(owner, since, identities.get(owner.owner_id, {}))
        except (QueryError, TimeError):  # stored by another version: the others' alerts go on
            _logger.exception("an owner's alert rules cannot be read", extra={"org_id": org_id})
    return RuleSet(tuple(found))


def _rules(owner: Owner, since: str, identities: dict[str, tuple[str, str]]) -> list[Rule]:
    asked = read_document(owner).notifications
    if asked is None:
        return []
    speaks_for_org = key_of(owner.owner_id, owner) == ORG_KEY
    place = place_of(owner.owner_id, owner.cluster_id, asked, speaks_for_org=speaks_for_org)
    return rules_of(asked, place, read_since(since), identities)


class RuleSets:
    """Rule sets by org, each of one revision of its documents; the least used go first."""

    def __init__(self, most_rules: int = KEPT_RULES) -> None:
        """Know none yet; keep at most so many rules, and always the set used last."""
        self._most_rules = most_rules
        self._kept: OrderedDict[str, tuple[int, RuleSet]] = OrderedDict()

    async def of(self, conn: Connection, org_id: str, revision: int) -> RuleSet:
        """Return an org's rules at a revision, read only if another one was kept.

        On PostgreSQL they may be of a later revision: whoever acts by them checks that there is
        none when he commits.
        """
        known = self._kept.pop(org_id, None)
        if known is None or known[0] != revision:
            known = revision, await load_rules(conn, org_id)
        self._kept[org_id] = known
        total = sum(len(rules.rules) + 1 for _, rules in self._kept.values())
        while total > self._most_rules and len(self._kept) > 1:
            _, (_, rules) = self._kept.popitem(last=False)
            total -= len(rules.rules) + 1
        return known[1]

    def forget(self, org_id: str) -> None:
        """Have an org's rules read anew."""
        self._kept.pop(org_id, None)
