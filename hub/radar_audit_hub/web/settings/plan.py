"""The page of plan and billing. Money and cards are Stripe's: this page leads there.

Owns these handlers. What may be bought is decided by `billing/`.
"""

from __future__ import annotations

from aiohttp import web

from radar_audit_hub.auth.principal import OWNER
from radar_audit_hub.billing import checkout
from radar_audit_hub.billing import handlers as billing
from radar_audit_hub.billing.plans import PLANS
from radar_audit_hub.declarations import declare
from radar_audit_hub.errors import HubError
from radar_audit_hub.web.forms import as_document, read_form
from radar_audit_hub.web.rendering import page
from radar_audit_hub.web.visits import OrgVisit, org_visit

from .answering import REFUSED, onward, refusal

_PAGE = "/orgs/{org_id}/billing"


async def show(request: web.Request) -> web.Response:
    """Show the plan, what it gives, and what can be bought."""
    return await _page(request, await org_visit(request, OWNER))


async def _page(
    request: web.Request, visit: OrgVisit, error: HubError | None = None
) -> web.Response:
    status, mistakes = refusal(error)
    return page(
        request,
        "settings/plan.html",
        status=status,
        mistakes=mistakes,
        billing=await billing.load(request, visit.caller),
        plans=PLANS,
    )


async def buy(request: web.Request) -> web.Response:
    """Lead to Stripe's page where a plan is paid for."""
    form = await read_form(request)
    visit = await org_visit(request, OWNER)
    try:
        asked = as_document({"plan": form.text("plan")}, billing.CHECKOUT)
        opened = await billing.buy(request, visit.caller, asked)
    except REFUSED as error:
        return await _page(request, visit, error)
    text = f"You pay for the {opened.plan} plan at Stripe, and come back here."
    return onward(request, opened.url, "Off to Stripe", text, _address(visit))


async def manage(request: web.Request) -> web.Response:
    """Lead to Stripe's portal: cards, invoices, ending the plan."""
    await read_form(request)
    visit = await org_visit(request, OWNER)
    try:
        address = await billing.portal_address(request, visit.caller)
    except REFUSED as error:
        return await _page(request, visit, error)
    text = "Cards, invoices and the end of a plan are managed at Stripe."
    return onward(request, address, "Off to Stripe", text, _address(visit))


def _address(visit: OrgVisit) -> str:
    return f"/orgs/{visit.caller.org_id}/billing"


def routes() -> list[web.RouteDef]:
    """Return the page's routes."""
    return [
        web.get(_PAGE, show, allow_head=False),
        declare(web.post(f"{_PAGE}/checkout", buy), events=(checkout.ACTION,)),
        declare(
            web.post(f"{_PAGE}/portal", manage),
            events=None,
            reason="a link to Stripe's own page; what is done there comes by the webhook",
        ),
    ]
