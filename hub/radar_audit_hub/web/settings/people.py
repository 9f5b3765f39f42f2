"""The page of members and invitations.

Owns these handlers. Who may be what, and when an invitation is good, is decided by `members/` and
`invitations/`. A link that was just made is shown once, in the answer to its form.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web
from radar_audit_events.actions import ROLES

from radar_audit_hub.auth.principal import OWNER
from radar_audit_hub.declarations import declare
from radar_audit_hub.errors import HubError
from radar_audit_hub.invitations import handlers as invitations
from radar_audit_hub.members import handlers as members
from radar_audit_hub.web.forms import Form, as_document, read_form
from radar_audit_hub.web.rendering import page, see_other
from radar_audit_hub.web.visits import OrgVisit, org_visit

from .answering import REFUSED, refusal

_PAGE = "/orgs/{org_id}/members"
_MEMBER = _PAGE + "/{user_id}"
_INVITATIONS = "/orgs/{org_id}/invitations"
_INVITATION = _INVITATIONS + "/{invitation_id}"


async def show(request: web.Request) -> web.Response:
    """Show who is a member, and who is invited."""
    return await _page(request, await org_visit(request, OWNER))


async def _page(
    request: web.Request,
    visit: OrgVisit,
    error: HubError | None = None,
    form: Form | None = None,
    made: dict[str, Any] | None = None,
) -> web.Response:
    status, mistakes = refusal(error)
    people = await members.listed(request, visit.caller)
    invited = await invitations.listed(request, visit.caller, only_first=True)
    return page(
        request,
        "settings/members.html",
        status=status,
        mistakes=mistakes,
        members=people["members"],
        next_cursor=people["next_cursor"],
        invitations=invited["invitations"],
        roles=ROLES,
        email="" if form is None else form.text("email"),
        role="member" if form is None else form.text("role"),
        made=made,
    )


async def set_role(request: web.Request) -> web.Response:
    """Give a member another role."""
    form = await read_form(request)
    visit = await org_visit(request, OWNER)
    user_id = request.match_info["user_id"]
    try:
        asked = as_document({"role": form.text("role")}, members.NEW_ROLE)
        await members.set_role(request, visit.caller, user_id, asked)
    except REFUSED as error:
        return await _page(request, visit, error)
    return see_other(request, _address(visit), "role_changed")


async def remove(request: web.Request) -> web.Response:
    """Remove a member."""
    await read_form(request)
    visit = await org_visit(request, OWNER)
    try:
        await members.remove(request, visit.caller, request.match_info["user_id"])
    except REFUSED as error:
        return await _page(request, visit, error)
    left = request.match_info["user_id"] == visit.caller.user_id
    return see_other(request, "/" if left else _address(visit), "left" if left else "removed")


async def invite(request: web.Request) -> web.Response:
    """Invite somebody; the answer shows the link once."""
    form = await read_form(request)
    visit = await org_visit(request, OWNER)
    try:
        values = {"email": form.text("email"), "role": form.text("role")}
        asked = as_document(values, invitations.NEW_INVITATION)
        made = await invitations.create(request, visit.caller, asked)
    except REFUSED as error:
        return await _page(request, visit, error, form)
    return await _page(request, visit, made=made)


async def send_again(request: web.Request) -> web.Response:
    """Send an invitation anew; the answer shows its new link once."""
    await read_form(request)
    visit = await org_visit(request, OWNER)
    try:
        made = await invitations.send_again(request, visit.caller)
    except REFUSED as error:
        return await _page(request, visit, error)
    return await _page(request, visit, made=made)


async def revoke(request: web.Request) -> web.Response:
    """Revoke an invitation."""
    await read_form(request)
    visit = await org_visit(request, OWNER)
    try:
        await invitations.revoke(request, visit.caller)
    except REFUSED as error:
        return await _page(request, visit, error)
    return see_other(request, _address(visit), "invitation_revoked")


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
