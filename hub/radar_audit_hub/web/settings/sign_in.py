"""The page of how an organization's people sign in: domains that join, single sign-on.

Owns these handlers. What is set up at WorkOS is WorkOS's: this page leads there.
"""

from __future__ import annotations

from aiohttp import web

from radar_audit_hub.auth.principal import OWNER
from radar_audit_hub.context import HUB
from radar_audit_hub.declarations import declare
from radar_audit_hub.errors import HubError
from radar_audit_hub.orgs import handlers as orgs
from radar_audit_hub.signin.state import SIGNIN
from radar_audit_hub.sso import handlers as sso
from radar_audit_hub.sso import portal
from radar_audit_hub.web.forms import as_document, read_form
from radar_audit_hub.web.rendering import page
from radar_audit_hub.web.visits import OrgVisit, org_visit

from .answering import REFUSED, onward, refusal

_PAGE = "/orgs/{org_id}/sign-in"


async def show(request: web.Request) -> web.Response:
    """Show how people sign in."""
    return await _page(request, await org_visit(request, OWNER))


async def _page(
    request: web.Request, visit: OrgVisit, error: HubError | None = None
) -> web.Response:
    hub = request.app[HUB]
    status, mistakes = refusal(error)
    org, domains = await orgs.load(request, visit.caller)
    return page(
        request,
        "settings/sign_in.html",
        status=status,
        mistakes=mistakes,
        org=org,
        domains=domains,
        oidc=request.app[SIGNIN].provider is not None,
        sso=hub.settings.workos.api_key is not None,
        intents=portal.INTENTS,
    )


async def open_portal(request: web.Request) -> web.Response:
    """Lead to WorkOS's Admin Portal."""
    form = await read_form(request)
    visit = await org_visit(request, OWNER)
    try:
        asked = as_document({"intent": form.text("intent")}, sso.PORTAL)
        opened = await sso.portal_link(request, visit.caller, asked)
    except REFUSED as error:
        return await _page(request, visit, error)
    text = "Your identity provider is set up there. The way there is open for five minutes."
    back = f"/orgs/{visit.caller.org_id}/sign-in"
    return onward(request, opened["url"], "Off to the SSO portal", text, back)


def routes() -> list[web.RouteDef]:
    """Return the page's routes."""
    return [
        web.get(_PAGE, show, allow_head=False),
        declare(web.post(f"{_PAGE}/portal", open_portal), events=(portal.ACTION,)),
    ]
