"""The page of an organization itself: name, domains, what is recorded; and the end of it.

Owns these handlers. What an organization may be set to is decided by `orgs/`.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web
from radar_audit_events.errors import FieldError

from radar_audit_hub.auth.principal import OWNER
from radar_audit_hub.declarations import declare
from radar_audit_hub.errors import ConflictError, HubError, InvalidBodyError
from radar_audit_hub.members import handlers as members
from radar_audit_hub.orgs import handlers as orgs
from radar_audit_hub.orgs.domains import DEFAULT_ROLES
from radar_audit_hub.web.forms import Form, as_document, read_form
from radar_audit_hub.web.rendering import page, see_other
from radar_audit_hub.web.visits import OrgVisit, org_visit

from .answering import REFUSED, refusal

_PAGE = "/orgs/{org_id}/settings"
_LEAVE = "/orgs/{org_id}/leave"


async def show(request: web.Request) -> web.Response:
    """Show the organization's settings."""
    return await _page(request, await org_visit(request, OWNER))


async def save(request: web.Request) -> web.Response:
    """Change what the form says."""
    form = await read_form(request)
    visit = await org_visit(request, OWNER)
    try:
        await orgs.update(request, visit.caller, as_document(_asked(form), orgs.PATCH))
    except REFUSED as error:
        return await _page(request, visit, error, form)
    return see_other(request, f"/orgs/{visit.caller.org_id}/settings", "saved")


def _asked(form: Form) -> dict[str, Any]:
    days = form.text("pat_default_days")
    domains = [line.strip() for line in form.text("allowed_domains").replace(",", "\n").split("\n")]
    return {
        "name": form.text("name"),
        "allowed_domains": [domain for domain in domains if domain],
        "default_role": form.text("default_role"),
        "record_log_access": form.has("record_log_access"),
        "pat_default_days": _number(days) if days else None,
    }


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 6):
        message = "must be a whole number of days, or empty for tokens that never expire"
        raise InvalidBodyError([FieldError("pat_default_days", message)])
    return int(text)


async def _page(
    request: web.Request, visit: OrgVisit, error: HubError | None = None, form: Form | None = None
) -> web.Response:
    org, domains = await orgs.load(request, visit.caller)
    status, mistakes = refusal(error)
    typed = {
        "name": org.name,
        "allowed_domains": "\n".join(domains),
        "default_role": org.default_role,
        "record_log_access": org.record_log_access,
        "pat_default_days": "" if org.pat_default_days is None else str(org.pat_default_days),
    }
    if form is not None:  # nothing of what was typed is lost
        typed |= {name: form.text(name) for name in typed if name != "record_log_access"}
        typed["record_log_access"] = form.has("record_log_access")
    return page(
        request,
        "settings/organization.html",
        status=status,
        mistakes=mistakes,
        org=org,
        typed=typed,
        default_roles=DEFAULT_ROLES,
    )


async def delete(request: web.Request) -> web.Response:
    """Delete the organization, if its name was typed."""
    form = await read_form(request)
    visit = await org_visit(request, OWNER)
    if form.text("confirm") != visit.caller.org_name:
        message = "must be the organization's name, exactly as it is written above"
        wrong = InvalidBodyError([FieldError("confirm", message)])
        return await _page(request, visit, wrong)
    await orgs.delete(request, visit.caller)
    return see_other(request, "/", "org_deleted")


async def show_leave(request: web.Request) -> web.Response:
    """Ask whether a member really wants to leave."""
    await org_visit(request)
    return page(request, "settings/leave.html")


async def leave(request: web.Request) -> web.Response:
    """Take the person who asks out of the organization, with their tokens."""
    await read_form(request)
    visit = await org_visit(request)
    try:
        await members.remove(request, visit.caller, visit.caller.user_id)
    except ConflictError as error:
        status, mistakes = refusal(error)
        return page(request, "settings/leave.html", status=status, mistakes=mistakes)
    return see_other(request, "/", "left")


def routes() -> list[web.RouteDef]:
    """Return the page's routes."""
    return [
        web.get(_PAGE, show, allow_head=False),
        declare(web.post(_PAGE, save), events=(orgs.UPDATED,)),
        declare(web.post(f"{_PAGE}/delete", delete), events=(orgs.DELETED,)),
        web.get(_LEAVE, show_leave, allow_head=False),
        declare(web.post(_LEAVE, leave), events=members.LEFT),
    ]
