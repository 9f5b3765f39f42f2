"""The page of plan and billing. Money and cards are Stripe's: this page leads there.

Owns these handlers. What may be bought is decided by `billing/`.
"""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from radar_audit_hub.auth.principal import OWNER
from radar_audit_hub.billing import checkout
from radar_audit_hub.billing import handlers as billing
from radar_audit_hub.billing.answers import BillingAnswer
from radar_audit_hub.billing.plans import PLANS, rank
from radar_audit_hub.billing.rules import ENDED, PAYING
from radar_audit_hub.declarations import declare
from radar_audit_hub.errors import HubError
from radar_audit_hub.web.forms import as_document, read_form
from radar_audit_hub.web.rendering import page
from radar_audit_hub.web.visits import OrgVisit, org_visit

from .answering import REFUSED, onward, refusal

_PAGE = "/orgs/{org_id}/billing"
# What the page calls Stripe's statuses of a subscription.
STATUS_WORDS: Mapping[str, str] = {
    "active": "Paid",
    "trialing": "In its trial",
    "past_due": "Payment failed",
    "unpaid": "Not paid",
    "incomplete": "First payment open",
    "incomplete_expired": "Never paid",
    "paused": "Paused",
    "canceled": "Ended",
}


async def show(request: web.Request) -> web.Response:
    """Show the plan, what it gives, and what can be bought."""
    return await _page(request, await org_visit(request, OWNER))


async def _page(
    request: web.Request, visit: OrgVisit, error: HubError | None = None
) -> web.Response:
    status, mistakes = refusal(error)
    found = await billing.load(request, visit.caller)
    return page(
        request,
        "settings/plan.html",
        status=status,
        mistakes=mistakes,
        billing=found,
        plans=PLANS,
        offered=_offered(found),
        status_words=STATUS_WORDS,
        keeps_plan=found.subscription is not None and found.subscription.status in PAYING,
        has_ended=found.subscription is not None and found.subscription.status in ENDED,
    )


def _offered(found: BillingAnswer) -> list[str]:
    """Return the plans that a checkout would take; what is subscribed changes at Stripe."""
    if found.subscription is not None and found.subscription.status not in ENDED:
        return []
    return [name for name in found.plans_sold if rank(name) > rank(found.plan)]


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
