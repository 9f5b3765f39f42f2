"""How somebody becomes a member: asked, by their e-mail's domain, or by the server's command.

Owns the rows and events of joining. Called inside a change by the invitation and sign-in
handlers and by `bootstrap.py`. Never makes an owner of somebody who was not asked to be one.
"""

from __future__ import annotations

from dataclasses import dataclass

from radar_audit_hub.changes import Change
from radar_audit_hub.emails import domain_of
from radar_audit_hub.errors import NotFoundError
from radar_audit_hub.notices import words
from radar_audit_hub.notices.telling import tell
from radar_audit_hub.orgs.domains import auto_join_role
from radar_audit_hub.store.control import Org, insert_member
from radar_audit_hub.store.members import (
    domains_of,
    forget_departure,
    get_member,
    has_departed,
    orgs_of_domain,
)

MAX_AUTO_JOINS = 20  # orgs that one domain lets somebody into with one sign-in


@dataclass(frozen=True, slots=True)
class Inviter:
    """Who asked a new member in, by value; both None for nobody that the hub knows."""

    user_id: str | None = None
    email: str | None = None


async def join(
    change: Change,
    org_id: str,
    user_id: str,
    role: str,
    *,
    inviter: Inviter,
    provisioned_by: str | None = None,
) -> bool:
    """Make somebody a member and note `org_member.joined`; False if they are one already.

    To be called under the org's lock, or in the transaction that makes the org.
    """
    if not await insert_member(change.conn, org_id, user_id, role, change.now_ms):
        return False
    await forget_departure(change.conn, org_id, user_id)
    metadata = {"inviter_user_id": inviter.user_id, "inviter_email": inviter.email, "role": role}
    if provisioned_by is not None:
        metadata["provisioned_by"] = provisioned_by
    change.note(org_id, "org_member.joined", user_id, metadata)
    await tell_joined(change, org_id, user_id, role, how="asked")
    return True


async def tell_joined(change: Change, org_id: str, user_id: str, role: str, *, how: str) -> None:
    """Tell an org's owners of a new member; `how`: asked, domain or sso."""
    member = await get_member(change.conn, org_id, user_id)
    email = user_id if member is None else member.email
    notice = words.joined(org_id, user_id, email=email, role=role, how=how, now_ms=change.now_ms)
    await tell(change, org_id, notice)


async def auto_join(change: Change, user_id: str, email: str) -> list[Org]:
    """Let somebody into the orgs that allow their e-mail's domain; return those joined now.

    Only for an e-mail that is vouched for: the caller has checked that. Who was removed from an
    org, or left it, is not brought back. Notes one `org_member.auto_joined` for each org.
    """
    domain = domain_of(email)
    joined: list[Org] = []
    for org_id in await orgs_of_domain(change.conn, domain, MAX_AUTO_JOINS):
        try:
            org = await change.lock(org_id)
        except NotFoundError:  # it was deleted a moment ago
            continue
        role = auto_join_role(domain, await domains_of(change.conn, org_id), org.default_role)
        if role is None or await has_departed(change.conn, org_id, user_id):
            continue
        if await insert_member(change.conn, org_id, user_id, role, change.now_ms):
            facts = {"role": role, "domain": domain, "provisioned_by": "domain_auto_join"}
            change.note(org_id, "org_member.auto_joined", user_id, facts)
            await tell_joined(change, org_id, user_id, role, how="domain")
            joined.append(org)
    return joined
