"""The page of one delivery, and having deliveries made again.

Owns these handlers. What is delivered again is decided by `destinations/`. Never shows a secret:
requests and answers were cleaned before they were kept.
"""

from __future__ import annotations

import msgspec
from aiohttp import web
from radar_audit_events.ids import format_ms

from radar_audit_hub.auth.principal import OWNER
from radar_audit_hub.context import HUB
from radar_audit_hub.declarations import declare
from radar_audit_hub.destinations import handlers as destinations
from radar_audit_hub.destinations import log_handlers as log
from radar_audit_hub.destinations.asking import ReplayOrder
from radar_audit_hub.policy.releasing import ACTION
from radar_audit_hub.web.forms import as_document, read_form
from radar_audit_hub.web.rendering import page, see_other
from radar_audit_hub.web.visits import org_visit

from .answering import REFUSED
from .destinations import ONE, TITLES, one_page

_DELIVERY = ONE + "/deliveries/{message_id}"
_DAY_MS = 86_400_000
_order = msgspec.json.Decoder(ReplayOrder)


async def show(request: web.Request) -> web.Response:
    """Show what a message says, and what was sent and answered at each attempt."""
    visit = await org_visit(request, OWNER)
    return page(
        request,
        "settings/delivery.html",
        destination=await destinations.load(request, visit.caller),
        found=await log.load(request, visit.caller),
        titles=TITLES,
    )


async def replay(request: web.Request) -> web.Response:
    """Have one message delivered again, or all of the last day that failed."""
    form = await read_form(request)
    visit = await org_visit(request, OWNER)
    values: dict[str, str]
    if form.text("message_id"):
        values = {"message_id": form.text("message_id")}
    else:
        since = request.app[HUB].now_ms() - _DAY_MS
        values = {"from": format_ms(since), "state": "failed"}
    try:
        await log.replay(request, visit.caller, as_document(values, _order))
    except REFUSED as error:
        found = await destinations.load(request, visit.caller)
        return await one_page(request, visit, found, error=error)
    return see_other(request, ONE.format(**request.match_info), "replayed")


def routes() -> list[web.RouteDef]:
    """Return the page's routes."""
    return [
        web.get(_DELIVERY, show, allow_head=False),
        declare(web.post(f"{ONE}/replay", replay), events=(ACTION,)),
    ]
