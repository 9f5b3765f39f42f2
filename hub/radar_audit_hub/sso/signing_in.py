"""Signing in through WorkOS with an organization's own identity provider.

Owns who may join by it: somebody with an e-mail of a domain that the connection's organization
has proved to own, who was never removed. Called by `handlers.py` and, for whoever signs in, once.
"""

from __future__ import annotations

from radar_audit_hub.auth.identity_rules import Claimed, is_subject, vouched_email
from radar_audit_hub.changes import Change
from radar_audit_hub.context import Hub
from radar_audit_hub.emails import domain_of
from radar_audit_hub.members.joining import tell_joined
from radar_audit_hub.orgs.domains import DEFAULT_ROLES
from radar_audit_hub.signin.identifying import Identified, identify
from radar_audit_hub.store.control import insert_member
from radar_audit_hub.store.members import has_departed
from radar_audit_hub.store.sso import keep_connection

from .workos import Profile, WorkosRefusedError

ACTION = "org_member.sso_joined"


def claimed_by(profile: Profile, domains: list[str]) -> Claimed:
    """Return what a connection says of a person; it vouches for the e-mails of its domains."""
    if not is_subject(profile.id):
        raise WorkosRefusedError(400)
    email = vouched_email(profile.email, verified=True, trusted=False)
    owned = email is not None and domain_of(email) in domains
    return Claimed(
        issuer=f"workos:{profile.connection_id}",
        subject=profile.id,
        email=email if owned else None,
    )


async def join(
    hub: Hub, change: Change, org_id: str, profile: Profile, domains: list[str]
) -> Identified | None:
    """Return who signs in, now a member of the connection's org.

    None for a connection of another org: then the change must be rolled back.
    Raises NotFoundError for an org that is gone, ForbiddenError as `identify` does.
    """
    # The person before the org, as in every sign-in: two at once must not wait for one another.
    found = await identify(hub, change, claimed_by(profile, domains))
    org = await change.lock(org_id)
    mine = await keep_connection(
        change.conn,
        org_id,
        profile.connection_id,
        idp=profile.idp,
        domains=domains,
        now_ms=change.now_ms,
    )
    if not mine:
        return None
    user_id = found.person.user_id
    if found.vouched and not await has_departed(change.conn, org_id, user_id):
        role = org.default_role if org.default_role in DEFAULT_ROLES else "viewer"
        if await insert_member(change.conn, org_id, user_id, role, change.now_ms):
            facts = {"role": role, "connection_id": profile.connection_id, "idp": profile.idp}
            change.note(org_id, ACTION, user_id, facts)
            await tell_joined(change, org_id, user_id, role, how="sso")
    return found
