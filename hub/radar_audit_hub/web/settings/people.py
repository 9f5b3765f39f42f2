"""The page of members and invitations.

Owns these handlers. Who may be what, and when an invitation is good, is decided by `members/` and
`invitations/`. A link that was just made is shown once, in the answer to its form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from radar_audit_events.actions import ROLES

from radar_audit_hub.auth.principal import OWNER
from radar_audit_hub.declarations import declare
from radar_audit_hub.invitations import handlers as invitations
from radar_audit_hub.members import handlers as members
from radar_audit_hub.web.forms import as_document, read_form
from radar_audit_hub.web.rendering import page
from radar_audit_hub.web.visits import OrgVisit, org_visit

from .answering import refusal
from .making import NOTHING_SENT, Outcome, done_here, made_here

_PAGE = "/orgs/{org_id}/members"
_MEMBER = _PAGE + "/{user_id}"
_INVITATIONS = "/orgs/{org_id}/invitations"
_INVITATION = _INVITATIONS + "/{invitation_id}"
_INVITED = "invited_"  # begins the parameters of the second list, the invitations


async def show(request: web.Request) -> web.Response:
    """Show who is a member, and who is invited."""
    return await _page(request, await org_visit(request, OWNER), NOTHING_SENT)


async def _page(request: web.Request, visit: OrgVisit, outcome: Outcome) -> web.Response:
    status, mistakes = refusal(outcome.error)
    given = list(request.query.items())
    second = [(name.removeprefix(_INVITED), v) for name, v in given if name.startswith(_INVITED)]
    first = [pair for pair in given if not pair[0].startswith(_INVITED)]
    people = await members.listed(request, visit.caller, first)
    invited = await invitations.listed(request, visit.caller, second)
    return page(
        request,
        "settings/members.html",
        status=status,
        mistakes=mistakes,
        members=people["members"],
        next_cursor=people["next_cursor"],
        invitations=invited["invitations"],
        next_invited=invited["next_cursor"],
        roles=ROLES,
        email=outcome.typed("email", ""),
        role=outcome.typed("role", "member"),
        made=outcome.made,
    )


async def set_role(request: web.Request) -> web.Response:
    """Give a member another role."""
    form = await read_form(request)
    visit = await org_visit(request, OWNER)

    async def doing() -> None:
        asked = as_document({"role": form.text("role")}, members.NEW_ROLE)
        await members.set_role(request, visit.caller, request.match_info["user_id"], asked)

    return await done_here(
        request, visit, _page, doing(), address=_address(visit), said="role_changed"
    )


async def remove(request: web.Request) -> web.Response:
    """Remove a member."""
    await read_form(request)
    visit = await org_visit(request, OWNER)
    user_id = request.match_info["user_id"]
    doing = members.remove(request, visit.caller, user_id)
    left = user_id == visit.caller.user_id
    address = "/" if left else _address(visit)
    said = "left" if left else "removed"
    return await done_here(request, visit, _page, doing, address=address, said=said)


async def invite(request: web.Request) -> web.Response:
    """Invite somebody; the answer shows the link once."""
    form = await read_form(request)
    visit = await org_visit(request, OWNER)

    async def making() -> Mapping[str, Any]:
        values = {"email": form.text("email"), "role": form.text("role")}
        asked = as_document(values, invitations.NEW_INVITATION)
        return await invitations.create(request, visit.caller, asked)

    return await made_here(request, visit, _page, making(), form)


async def send_again(request: web.Request) -> web.Response:
    """Send an invitation anew; the answer shows its new link once."""
    await read_form(request)
    visit = await org_visit(request, OWNER)
    making = invitations.send_again(request, visit.caller)
    return await made_here(request, visit, _page, making)


async def revoke(request: web.Request) -> web.Response:
    """Revoke an invitation."""
    await read_form(request)
    visit = await org_visit(request, OWNER)
    doing = invitations.revoke(request, visit.caller)
    return await done_here(
        request, visit, _page, doing, address=_address(visit), said="invitation_revoked"
    )


def _address(visit: OrgVisit) -> str:
    return f"/orgs/{visit.caller.org_id}/members"


def routes() -> list[web.RouteDef]:
    """Return the page's routes."""
    created = (invitations.CREATED,)
    return [
        web.get(_PAGE, show, allow_head=False),
        declare(web.post(f"{_MEMBER}/role", set_role), events=(members.ROLE_CHANGED,)),
        declare(web.post(f"{_MEMBER}/remove", remove), events=members.LEFT),
        declare(web.post(_INVITATIONS, invite), events=created),
        declare(web.post(f"{_INVITATION}/resend", send_again), events=created),
        declare(web.post(f"{_INVITATION}/revoke", revoke), events=(invitations.REVOKED,)),
    ]
