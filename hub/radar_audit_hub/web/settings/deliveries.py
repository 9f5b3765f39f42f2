"""The page of one delivery, and having deliveries made again.

Owns these handlers. What is delivered again is decided by `destinations/`. Never shows a secret:
requests and answers were cleaned before they were kept.
"""

from __future__ import annotations

import msgspec
from aiohttp import web
from radar_audit_events.errors import FieldError
from radar_audit_events.ids import format_ms

from radar_audit_hub.auth.principal import OWNER
from radar_audit_hub.context import HUB
from radar_audit_hub.declarations import declare
from radar_audit_hub.destinations import handlers as destinations
from radar_audit_hub.destinations import log_handlers as log
from radar_audit_hub.destinations.asking import ReplayOrder
from radar_audit_hub.errors import InvalidBodyError
from radar_audit_hub.policy.releasing import ACTION
from radar_audit_hub.web.forms import Form, as_document, read_form
from radar_audit_hub.web.rendering import page, see_other
from radar_audit_hub.web.visits import org_visit
from radar_audit_hub.web.zone_cookie import zone_of

from .answering import REFUSED
from .destinations import ONE, REPLAY_LABELS, TITLES, one_page
from .entries import time_of
from .mending import refused

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
    """Have one message delivered again, those of a range of times, or the last day's failed."""
    form = await read_form(request)
    visit = await org_visit(request, OWNER)
    try:
        asked = as_document(_asked(request, form), _order)
        await log.replay(request, visit.caller, asked)
    except REFUSED as error:
        found = await destinations.load(request, visit.caller)
        status, mistakes = refused(error, REPLAY_LABELS, _on_page)
        return await one_page(request, visit, found, status=status, mistakes=mistakes, again=form)
    return see_other(request, ONE.format(**request.match_info), "replayed")


def _asked(request: web.Request, form: Form) -> dict[str, str]:
    """Return the order that a form gives, as the API's document says it."""
    if form.text("message_id"):
        return {"message_id": form.text("message_id")}
    if not form.has("replay_from"):
        since = request.app[HUB].now_ms() - _DAY_MS
        return {"from": format_ms(since), "state": "failed"}
    zone = zone_of(request)
    since_time = time_of(form, "replay_from", zone)
    if since_time is None:
        raise InvalidBodyError([FieldError("replay_from", "must be a date and a time")])
    asked = {
        "from": since_time,
        "to": time_of(form, "replay_to", zone),
        "state": form.text("replay_state"),
    }
    return {name: value for name, value in asked.items() if value}


def _on_page(mistake: FieldError) -> FieldError:
    known = f"replay_{mistake.field}" in REPLAY_LABELS
    return FieldError(f"replay_{mistake.field}", mistake.message) if known else mistake


def routes() -> list[web.RouteDef]:
    """Return the page's routes."""
    return [
        web.get(_DELIVERY, show, allow_head=False),
        declare(web.post(f"{ONE}/replay", replay), events=(ACTION,)),
    ]
