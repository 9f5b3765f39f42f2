"""What each notice says, from the facts of what happened. Pure.

Owns sentences, facts and keys of all kinds. Called by the producers. A key names the happening and
not the text, so that the same one is never told twice.
"""

from __future__ import annotations

from radar_audit_events.ids import format_ms

from radar_audit_hub.store.presence import SeenCluster

from .kinds import (
    CAP_HIT,
    DISABLED,
    DISCONNECTED,
    INVITED,
    JOINED,
    PAYMENT_FAILED,
    RECONNECTED,
)
from .telling import Notice

_DAY_MS = 86_400_000


def disconnected(found: SeenCluster) -> Notice:
    """Return the notice of a cluster that fell silent."""
    last_seen = format_ms(found.last_seen_at)
    return Notice(
        kind=DISCONNECTED,
        title=f"The cluster {found.name} is disconnected: nothing was heard of it since "
        f"{last_seen[:16].replace('T', ' ')} UTC",
        facts={
            "cluster_id": found.cluster_id,
            "cluster_name": found.name,
            "last_seen_at": last_seen,
        },
        path=f"/orgs/{found.org_id}/clusters",
        dedup_key=f"{DISCONNECTED}:{found.cluster_id}:{found.last_seen_at}",
        cluster_id=found.cluster_id,
    )


def reconnected(found: SeenCluster, gone_at_ms: int) -> Notice:
    """Return the notice of a cluster that came back; it was last heard of at `gone_at_ms`."""
    return Notice(
        kind=RECONNECTED,
        title=f"The cluster {found.name} is connected again",
        facts={
            "cluster_id": found.cluster_id,
            "cluster_name": found.name,
            "silent_since": format_ms(gone_at_ms),
            "last_seen_at": format_ms(found.last_seen_at),
        },
        path=f"/orgs/{found.org_id}/clusters",
        dedup_key=f"{RECONNECTED}:{found.cluster_id}:{gone_at_ms}",
        cluster_id=found.cluster_id,
    )


def invited(
    org_id: str, invitation_id: str, *, email: str, role: str, by_id: str, by_email: str
) -> Notice:
    """Return the notice of an invitation."""
    return Notice(
        kind=INVITED,
        title=f"{by_email} has invited {email} as {role}",
        facts={"email": email, "role": role, "inviter_email": by_email},
        path=f"/orgs/{org_id}/members",
        dedup_key=f"{INVITED}:{invitation_id}",
        by=by_id,
    )


def joined(org_id: str, user_id: str, *, email: str, role: str, how: str, now_ms: int) -> Notice:
    """Return the notice of a new member; `how` is asked, domain or sso, `now_ms` when."""
    ways = {"asked": "by invitation", "domain": "by their e-mail's domain", "sso": "by SSO"}
    return Notice(
        kind=JOINED,
        title=f"{email} has joined as {role}, {ways[how]}",
        facts={"user_id": user_id, "email": email, "role": role, "how": how},
        path=f"/orgs/{org_id}/members",
        dedup_key=f"{JOINED}:{user_id}:{now_ms}",
        by=user_id,
    )


def payment_failed(
    org_id: str, subscription_id: str, *, plan: str, status: str, now_ms: int
) -> Notice:
    """Return the notice of a subscription whose payment failed at `now_ms` (Unix ms)."""
    return Notice(
        kind=PAYMENT_FAILED,
        title=f"A payment for the plan {plan} failed; look at the card before the plan ends",
        facts={"subscription_id": subscription_id, "plan": plan, "status": status},
        path=f"/orgs/{org_id}/billing",
        dedup_key=f"{PAYMENT_FAILED}:{subscription_id}:{now_ms}",
    )


def cap_hit(org_id: str, *, limit: int, by_email: str, now_ms: int) -> Notice:
    """Return the notice of a cluster too many at `now_ms` (Unix ms): one a day."""
    return Notice(
        kind=CAP_HIT,
        title=f"{by_email} could not connect a cluster: the free plan holds {limit}",
        facts={"limit": limit, "email": by_email},
        path=f"/orgs/{org_id}/billing",
        dedup_key=f"{CAP_HIT}:{now_ms // _DAY_MS}",
    )


def disabled(org_id: str, destination_id: str, *, name: str, reason: str, at_ms: int) -> Notice:
    """Return the notice of a destination that was disabled at `at_ms` (Unix ms)."""
    return Notice(
        kind=DISABLED,
        title=f"Nothing is sent to {name} any more: {reason}",
        facts={"destination_id": destination_id, "name": name, "reason": reason},
        path=f"/orgs/{org_id}/notifications/destinations/{destination_id}",
        dedup_key=f"{DISABLED}:{destination_id}:{at_ms}",
    )
