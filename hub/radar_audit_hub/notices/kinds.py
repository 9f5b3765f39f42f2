"""Radar's own notices, kind by kind: one table.

Owns which audit actions a kind stands beside (the two vocabularies differ), who sees it in the
inbox, and who gets it by mail unless they say otherwise. Called by whoever tells a notice or shows
one. Pure. A kind is seen only by roles that may see its subject anyway: members and payments are
the owners' affair, clusters everybody's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from radar_audit_hub.auth.principal import AUDITOR, MEMBER, OWNER, VIEWER

EVERYBODY = (OWNER, AUDITOR, MEMBER, VIEWER)
OWNERS = (OWNER,)
DISCONNECTED, RECONNECTED = "cluster.disconnected", "cluster.reconnected"
INVITED, JOINED = "org.member.invited", "org.member.joined"
PAYMENT_FAILED, CAP_HIT = "billing.payment_failed", "billing.free_tier_cap_hit"
DISABLED = "destination.disabled"  # to people alone: it is about the way to destinations


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind: its title, the actions of the log beside it, its roles, and mail by default."""

    title: str
    actions: tuple[str, ...] = ()
    roles: tuple[str, ...] = OWNERS
    by_mail: bool = False


KINDS: Mapping[str, Kind] = {
    DISCONNECTED: Kind(title="A cluster is disconnected", roles=EVERYBODY),
    RECONNECTED: Kind(title="A cluster is connected again", roles=EVERYBODY),
    INVITED: Kind(title="Somebody was invited", actions=("org_invitation.created",)),
    JOINED: Kind(
        title="Somebody joined",
        actions=("org_member.joined", "org_member.auto_joined", "org_member.sso_joined"),
    ),
    PAYMENT_FAILED: Kind(
        title="A payment failed", actions=("billing.subscription_changed",), by_mail=True
    ),
    CAP_HIT: Kind(title="The free plan's clusters are used up"),
    DISABLED: Kind(
        title="A destination was disabled", actions=("audit.policy_changed",), by_mail=True
    ),
}
SEEN_BY: Mapping[str, tuple[str, ...]] = {name: kind.roles for name, kind in KINDS.items()}
