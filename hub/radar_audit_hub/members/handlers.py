"""The routes of members: list, change a role, remove or leave.

Owns the edge; who may leave is decided in `rules.py`. A removed member's tokens are revoked in
the same transaction, and their sessions reach the org no more, because every request looks the
role up. Never decides who may join.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from aiohttp import web
from radar_audit_events.ids import format_ms, is_opaque_id

from radar_audit_hub.auth.access import require
from radar_audit_hub.auth.principal import ORG_READ_SCOPE, OWNER, Principal
from radar_audit_hub.changes import changing
from radar_audit_hub.context import HUB
from radar_audit_hub.declarations import declare
from radar_audit_hub.errors import ForbiddenError, NotFoundError
from radar_audit_hub.json_edge import json_document, no_parameters, read_document
from radar_audit_hub.listing import cut, read_only_page
from radar_audit_hub.store import members
from radar_audit_hub.store.control import Member
from radar_audit_hub.store.database import Connection
from radar_audit_hub.store.tokens import revoke_pats_of

from .rules import check_may_become, check_may_leave

SCOPE = "members:write"
REMOVED = "member_removed"
ROLE_CHANGED = "org_member.role_changed"
LEFT = ("org_member.removed", "pat.revoked")
_NO_SUCH_MEMBER = "there is no such member here"
_OTHERS = "only an owner may remove others; everybody may leave"


class NewRole(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a role change."""

    role: Literal["owner", "auditor", "member", "viewer"]


NEW_ROLE = msgspec.json.Decoder(NewRole)


async def list_members(request: web.Request) -> web.Response:
    """Answer with a page of the members, by e-mail."""
    caller = await require(request, OWNER, scope=ORG_READ_SCOPE)
    return json_document(await listed(request, caller, list(request.query.items())))


async def listed(
    request: web.Request, caller: Principal, given: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """Return the page of members that the parameters `given` ask for, as the API shows it."""
    hub = request.app[HUB]
    list_name = f"members:{caller.org_id}"
    asked = read_only_page(given, list_name, (str,))
    async with hub.db.read() as conn:
        rows = await members.page_members(
            conn, caller.org_id, after=asked.after_text, limit=asked.limit + 1
        )
    page, following = cut(rows, asked, list_name, lambda row: (row.email,))
    return {"members": [_seen(row) for row in page], "next_cursor": following}


async def change_role(request: web.Request) -> web.Response:
    """Give a member another role; the one they have already: nothing happens."""
    caller = await require(request, OWNER, scope=SCOPE)
    asked = await read_document(request, NEW_ROLE)
    return json_document(await set_role(request, caller, request.match_info["user_id"], asked))


async def set_role(
    request: web.Request, caller: Principal, user_id: str, asked: NewRole
) -> dict[str, Any]:
    """Give a member another role; return them as the API shows them.

    Raises NotFoundError, ConflictError for the last owner.
    """
    async with changing(request, caller) as change:
        await change.lock_as(caller.org_id, OWNER)
        member = await _member(change.conn, caller.org_id, user_id)
        if member.role != asked.role:
            owners = await members.count_owners(change.conn, caller.org_id)
            check_may_become(member.role, asked.role, owners)
            await members.set_role(change.conn, caller.org_id, member.user_id, asked.role)
            facts = {"previous_role": member.role, "role": asked.role}
            change.note(caller.org_id, ROLE_CHANGED, member.user_id, facts)
    return _public(member, asked.role)


async def remove_member(request: web.Request) -> web.Response:
    """Remove a member with all their tokens of this org, or leave oneself."""
    caller = await require(request, scope=SCOPE)
    no_parameters(request)
    await remove(request, caller, request.match_info["user_id"])
    return web.Response(status=204)


async def remove(request: web.Request, caller: Principal, user_id: str) -> None:
    """Remove a member, or leave. Raises ForbiddenError, NotFoundError, ConflictError."""
    if caller.role != OWNER and user_id != caller.user_id:
        raise ForbiddenError(_OTHERS, (OWNER,))
    async with changing(request, caller) as change:
        _, me = await change.lock_as(caller.org_id)
        if me.role != OWNER and user_id != me.user_id:
            raise ForbiddenError(_OTHERS, (OWNER,))
        member = await _member(change.conn, caller.org_id, user_id)
        check_may_leave(member.role, await members.count_owners(change.conn, caller.org_id))
        revoked = await revoke_pats_of(change.conn, caller.org_id, user_id, change.now_ms)
        await members.delete_member(change.conn, caller.org_id, user_id, change.now_ms)
        facts = {"email": member.email, "role": member.role, "revoked_pats": len(revoked)}
        change.note(caller.org_id, LEFT[0], user_id, facts)
        for token in revoked:
            why = {"name": token.name, "reason": REMOVED}
            change.note(caller.org_id, LEFT[1], token.id, why)


async def _member(conn: Connection, org_id: str, user_id: str) -> Member:
    known = is_opaque_id("user", user_id)  # another text might not even be storable
    found = await members.get_member(conn, org_id, user_id) if known else None
    if found is None:
        raise NotFoundError(_NO_SUCH_MEMBER)
    return found


def _seen(row: members.SeenMember) -> dict[str, Any]:
    return {
        "user_id": row.user_id,
        "email": row.email,
        "role": row.role,
        "joined_at": format_ms(row.joined_at_ms),
        "last_seen_at": None if row.seen_at_ms is None else format_ms(row.seen_at_ms),
    }


def _public(member: Member, role: str) -> dict[str, Any]:
    return {
        "user_id": member.user_id,
        "email": member.email,
        "role": role,
        "joined_at": format_ms(member.created_at_ms),
    }


def routes() -> list[web.RouteDef]:
    """Return the feature's routes."""
    path = "/api/orgs/{org_id}/members"
    one = f"{path}/{{user_id}}"
    return [
        web.get(path, list_members, allow_head=False),
        declare(web.patch(one, change_role), events=(ROLE_CHANGED,)),
        declare(web.delete(one, remove_member), events=LEFT),
    ]
