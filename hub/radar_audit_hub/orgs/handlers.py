"""The routes of organizations: create, list, show, change, delete.

Owns the edge; what an org may be set to is decided in `rules.py`. A deleted org answers 404 from
then on, its log stays until the retention floor. Never deletes a row of the log.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
from aiohttp import web
from radar_audit_events.ids import format_ms, new_id

from radar_audit_hub.auth.access import require, require_user
from radar_audit_hub.auth.principal import ORG_READ_SCOPE, OWNER, Principal, Someone
from radar_audit_hub.billing.cancellation import request_cancel
from radar_audit_hub.changes import changing
from radar_audit_hub.context import HUB
from radar_audit_hub.declarations import declare
from radar_audit_hub.errors import ConflictError, ForbiddenError, InvalidBodyError, NotFoundError
from radar_audit_hub.json_edge import json_document, no_parameters, read_document
from radar_audit_hub.listing import cut, read_only_page
from radar_audit_hub.store import members
from radar_audit_hub.store.control import Org, get_org
from radar_audit_hub.store.sessions import lock_person

from .founding import found
from .rules import (
    MAX_OWNED_ORGS,
    NewOrg,
    OrgPatch,
    changes_of,
    new_org_errors,
    patch_errors,
    patched,
)

SCOPE = "org:write"
NEW_PLAN = "free"
CREATED = ("org.created", "org_member.joined")
UPDATED, DELETED = "org.updated", "org.deleted"
NEW_ORG = msgspec.json.Decoder(NewOrg)
PATCH = msgspec.json.Decoder(OrgPatch)


async def list_orgs(request: web.Request) -> web.Response:
    """Answer with a page of the orgs that the caller is a member of, by id."""
    hub = request.app[HUB]
    caller = await require_user(request)
    list_name = f"orgs:{caller.user_id}"
    asked = read_only_page(list(request.query.items()), list_name, (str,))
    async with hub.db.read() as conn:
        rows = await members.page_own_orgs(
            conn, caller.user_id, after=asked.after_text, limit=asked.limit + 1
        )
    page, following = cut(rows, asked, list_name, lambda row: (row.org.id,))
    orgs = [_brief(row.org, row.role) for row in page]
    return json_document({"orgs": orgs, "next_cursor": following})


async def create_org(request: web.Request) -> web.Response:
    """Make an org on the free plan; the caller becomes its owner."""
    caller = await require_user(request)
    org = await create(request, caller, await read_document(request, NEW_ORG))
    return json_document(_whole(org, OWNER, []), status=201)


async def create(request: web.Request, caller: Someone, asked: NewOrg) -> Org:
    """Make the org that somebody asked for.

    Raises InvalidBodyError, ForbiddenError for an e-mail that is not vouched for, ConflictError.
    """
    hub = request.app[HUB]
    if errors := new_org_errors(asked):
        raise InvalidBodyError(errors)
    if not caller.email_verified:
        # An owner's e-mail decides which domains may be allowed, so it must be vouched for.
        raise ForbiddenError("your e-mail is not verified by whom you sign in with")
    async with changing(request, caller) as change:
        await lock_person(change.conn, caller.user_id)  # two at once are counted one by one
        if await members.count_owned_orgs(change.conn, caller.user_id) >= MAX_OWNED_ORGS:
            raise ConflictError(
                f"you are an owner of {MAX_OWNED_ORGS} organizations; leave or delete one first"
            )
        org = Org(
            id=asked.id or new_id("org_", change.now_ms, hub.random_bytes(10)),
            name=asked.name,
            plan=NEW_PLAN,
            record_log_access=False,
            created_at_ms=change.now_ms,
        )
        if not await found(change, org, caller.user_id):
            raise ConflictError(f"the id {org.id} is taken; choose another, or leave it out")
    return org


async def show_org(request: web.Request) -> web.Response:
    """Answer with an org, its settings and the caller's role."""
    caller = await require(request, scope=ORG_READ_SCOPE)
    no_parameters(request)
    org, domains = await load(request, caller)
    return json_document(_whole(org, caller.role, domains))


async def load(request: web.Request, caller: Principal) -> tuple[Org, list[str]]:
    """Return the caller's org and the domains that it allows. Raises NotFoundError."""
    async with request.app[HUB].db.read() as conn:
        org = await get_org(conn, caller.org_id)
        domains = await members.domains_of(conn, caller.org_id)
    if org is None or org.deleted_at_ms is not None:  # a moment ago
        raise NotFoundError("there is no such organization")
    return org, domains


async def change_org(request: web.Request) -> web.Response:
    """Change an org's name, domains, default role or audit setting; nothing new: no event."""
    caller = await require(request, OWNER, scope=SCOPE)
    new, domains = await update(request, caller, await read_document(request, PATCH))
    return json_document(_whole(new, OWNER, domains))


async def update(request: web.Request, caller: Principal, asked: OrgPatch) -> tuple[Org, list[str]]:
    """Change what an owner asked for; return the org and its domains after it.

    Raises InvalidBodyError, ForbiddenError for who is no owner any more.
    """
    async with changing(request, caller) as change:
        old, _ = await change.lock_as(caller.org_id, OWNER)
        had = await members.domains_of(change.conn, caller.org_id)
        owners = await members.owner_emails(change.conn, caller.org_id)
        if errors := patch_errors(asked, had, owners):
            raise InvalidBodyError(errors)
        new, domains = patched(asked, old, had)
        if changes := changes_of(old, had, new, domains):
            await members.update_org(change.conn, new)
            await members.set_domains(change.conn, caller.org_id, domains, change.now_ms)
            change.note(caller.org_id, UPDATED, caller.org_id, {"changes": changes})
    return new, domains


async def delete_org(request: web.Request) -> web.Response:
    """Delete an org: nobody is a member any more, no token of it is good for anything."""
    caller = await require(request, OWNER, scope=SCOPE)
    no_parameters(request)
    await delete(request, caller)
    return web.Response(status=204)


async def delete(request: web.Request, caller: Principal) -> None:
    """Delete the caller's org with all that people may do there."""
    async with changing(request, caller) as change:
        org, _ = await change.lock_as(caller.org_id, OWNER)
        await members.update_org(change.conn, replace(org, deleted_at_ms=change.now_ms))
        await members.forget_people(change.conn, org.id)
        await request_cancel(change.conn, org.id, change.now_ms)
        change.note(org.id, DELETED, org.id, {"name": org.name})


def _brief(org: Org, role: str) -> dict[str, Any]:
    return {
        "id": org.id,
        "name": org.name,
        "plan": org.plan,
        "role": role,
        "created_at": format_ms(org.created_at_ms),
    }


def _whole(org: Org, role: str, domains: list[str]) -> dict[str, Any]:
    return {
        **_brief(org, role),
        "allowed_domains": domains,
        "default_role": org.default_role,
        "record_log_access": org.record_log_access,
        "pat_default_days": org.pat_default_days,
    }


def routes() -> list[web.RouteDef]:
    """Return the feature's routes."""
    one = "/api/orgs/{org_id}"
    return [
        web.get("/api/orgs", list_orgs, allow_head=False),
        declare(web.post("/api/orgs", create_org), events=CREATED),
        web.get(one, show_org, allow_head=False),
        declare(web.patch(one, change_org), events=(UPDATED,)),
        declare(web.delete(one, delete_org), events=(DELETED,)),
    ]
