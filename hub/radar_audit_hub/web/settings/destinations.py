"""The pages of notifications: all destinations and rules, and one destination in detail.

Owns the handlers of destinations. What a destination may be, and who may change it, is decided by
`destinations/` and `policy/`; the form is `destination_form.py`'s, what was delivered to one is in
`deliveries.py`, the rules in `rules.py`. Never shows a secret but one that the hub has just made,
once.
"""

from __future__ import annotations

import base64
from functools import partial
from typing import Any

import msgspec
from aiohttp import web
from radar_audit_events.policy_wire import Destination
from radar_audit_events.receiver_keys import SECRET_PREFIX

from radar_audit_hub.auth.principal import OWNER
from radar_audit_hub.context import HUB
from radar_audit_hub.declarations import declare
from radar_audit_hub.destinations import asking
from radar_audit_hub.destinations import handlers as destinations
from radar_audit_hub.destinations import log_handlers as log
from radar_audit_hub.destinations.rules import DestinationChange
from radar_audit_hub.errors import HubError, TooManyRequestsError
from radar_audit_hub.policy import people as policy
from radar_audit_hub.policy.alerts import CHANNELS
from radar_audit_hub.policy.releasing import ACTION
from radar_audit_hub.web.forms import NO_MISTAKES, Form, Mistakes, as_document, read_form
from radar_audit_hub.web.owner_words import owner_words
from radar_audit_hub.web.rendering import page, see_other
from radar_audit_hub.web.visits import OrgVisit, org_visit
from radar_audit_hub.web.zone_cookie import zone_of

from . import destination_form
from .answering import REFUSED, refusal
from .destination_form import ENVELOPES, SEVERITIES
from .entries import is_ahead
from .mending import refused

PAGE = "/orgs/{org_id}/notifications"
ONE = PAGE + "/destinations/{destination_id}"
_NEW = PAGE + "/destinations/new"
TITLES = {
    "slack": "Slack",
    "webhook": "Webhook",
    "email": "E-mail",
    "teams": "Microsoft Teams",
    "pagerduty": "PagerDuty",
}
# The fields of the form of a replay, whose handler is in `deliveries.py`.
REPLAY_LABELS = {
    "replay_from": "Made from",
    "replay_to": "Made before",
    "replay_state": "What became of them",
}
_new = msgspec.json.Decoder(Destination)
_change = msgspec.json.Decoder(DestinationChange)
_SECRET_BYTES = 32


async def show_all(request: web.Request) -> web.Response:
    """Show destinations and rules."""
    visit = await org_visit(request, OWNER)
    found = await destinations.listed(request, visit.caller)
    own, _ = await policy.load_own(request, visit.caller)
    return page(
        request,
        "settings/notifications.html",
        destinations=found["destinations"],
        next_cursor=found["next_cursor"],
        rules=[] if own.notifications is None else own.notifications.rules,
        is_muted=partial(is_ahead, now_ms=request.app[HUB].now_ms()),
        titles=TITLES,
        owner_words=owner_words,
    )


async def show_new(request: web.Request) -> web.Response:
    """Show the form of a new destination of the kind that the address names."""
    await org_visit(request, OWNER)
    return _new_page(request, _kind(request.query.get("kind", CHANNELS[0])))


def _kind(text: str) -> str:
    return text if text in CHANNELS else CHANNELS[0]


def _new_page(
    request: web.Request, kind: str, error: HubError | None = None, form: Form | None = None
) -> web.Response:
    status, mistakes = _refused(error, kind, is_new=True)
    return page(
        request,
        "settings/new_destination.html",
        status=status,
        mistakes=mistakes,
        labels=destination_form.labels(kind, is_new=True),
        kind=kind,
        titles=TITLES,
        typed=destination_form.typed(form, None, zone_of(request)),
        severities=SEVERITIES,
        envelopes=ENVELOPES,
    )


async def create(request: web.Request) -> web.Response:
    """Add a destination; a webhook without a secret gets one, which the answer shows once."""
    form = await read_form(request)
    visit = await org_visit(request, OWNER)
    kind = _kind(form.text("kind"))
    made_secret = None
    if kind == "webhook" and not form.text("signing_secret") and not form.text("signing_key"):
        raw = request.app[HUB].random_bytes(_SECRET_BYTES)
        made_secret = SECRET_PREFIX + base64.b64encode(raw).decode()
    try:
        values = destination_form.asked(form, kind, zone_of(request), secret=made_secret)
        asked = as_document({"name": form.text("name"), **values}, _new)
        made = await destinations.create(request, visit.caller, asked)
    except REFUSED as error:
        return _new_page(request, kind, error, form)
    if made_secret is None:
        return see_other(request, f"{_address(visit)}/destinations/{made['id']}", "saved")
    return await one_page(request, visit, made, secret=made_secret)


def _refused(error: HubError | None, kind: str, *, is_new: bool = False) -> tuple[int, Mistakes]:
    labels = destination_form.labels(kind, is_new=is_new)
    return refused(error, labels, partial(destination_form.on_page, kind=kind))


async def show(request: web.Request) -> web.Response:
    """Show one destination, how it stands, and what was delivered to it."""
    visit = await org_visit(request, OWNER)
    return await one_page(request, visit, await destinations.load(request, visit.caller))


async def one_page(
    request: web.Request,
    visit: OrgVisit,
    found: dict[str, Any],
    *,
    status: int = 200,
    mistakes: Mistakes = NO_MISTAKES,
    form: Form | None = None,
    again: Form | None = None,
    secret: str | None = None,
    tested: Any = None,
) -> web.Response:
    """Answer with a destination's page.

    `form` is a change that was refused, `again` a replay; `secret` was made now, `tested` is a
    test's outcome.
    """
    deliveries: dict[str, Any] = {"deliveries": [], "next_cursor": None}
    keys = frozenset[str]() if secret is None else frozenset({"signing_secret"})
    if "destination_id" in request.match_info:  # else it was made by this request
        deliveries = await log.listed(request, visit.caller)
        keys = await destinations.signing_parts(request)
    settings: Destination = found["settings"]
    return page(
        request,
        "settings/destination.html",
        status=status,
        mistakes=mistakes,
        labels={**destination_form.labels(found["kind"], is_new=False), **REPLAY_LABELS},
        found=found,
        keys=keys,
        is_muted=is_ahead(settings.muted_until, request.app[HUB].now_ms()),
        titles=TITLES,
        owner_words=owner_words,
        typed=destination_form.typed(form, settings, zone_of(request)),
        again={name: "" if again is None else again.text(name) for name in REPLAY_LABELS},
        severities=SEVERITIES,
        envelopes=ENVELOPES,
        states=log.STATES,
        state=request.query.get("state", ""),
        deliveries=deliveries["deliveries"],
        next_cursor=deliveries["next_cursor"],
        secret=secret,
        tested=tested,
    )


async def change(request: web.Request) -> web.Response:
    """Change a destination; a secret that is left empty stays, and a new one adds to the old."""
    form = await read_form(request)
    visit = await org_visit(request, OWNER)
    found = await destinations.load(request, visit.caller)
    settings: Destination = found["settings"]
    try:
        if form.text("do") == "end_old" and settings.webhook is not None:
            values = destination_form.without_old_keys(settings)
        else:
            values = destination_form.asked(form, found["kind"], zone_of(request), before=settings)
        await destinations.edit(request, visit.caller, as_document(values, _change))
    except REFUSED as error:
        status, mistakes = _refused(error, found["kind"])
        return await one_page(request, visit, found, status=status, mistakes=mistakes, form=form)
    return see_other(request, _of(request), "saved")


async def test(request: web.Request) -> web.Response:
    """Send a test, and show how it went."""
    await read_form(request)
    visit = await org_visit(request, OWNER)
    found = await destinations.load(request, visit.caller)
    try:
        tested = await log.test(request, visit.caller)
    except (*REFUSED, TooManyRequestsError) as error:
        status, mistakes = refusal(error)
        return await one_page(request, visit, found, status=status, mistakes=mistakes)
    found = await destinations.load(request, visit.caller)
    return await one_page(request, visit, found, tested=tested)


async def enable(request: web.Request) -> web.Response:
    """Let a destination be sent to again."""
    await read_form(request)
    visit = await org_visit(request, OWNER)
    await destinations.enabled(request, visit.caller)
    return see_other(request, _of(request), "saved")


async def delete(request: web.Request) -> web.Response:
    """Take a destination out."""
    await read_form(request)
    visit = await org_visit(request, OWNER)
    found = await destinations.load(request, visit.caller)
    try:
        await destinations.remove(request, visit.caller)
    except REFUSED as error:
        status, mistakes = refusal(error)
        return await one_page(request, visit, found, status=status, mistakes=mistakes)
    return see_other(request, _address(visit), "destination_deleted")


def _address(visit: OrgVisit) -> str:
    return f"/orgs/{visit.caller.org_id}/notifications"


def _of(request: web.Request) -> str:
    return ONE.format(**request.match_info)


def routes() -> list[web.RouteDef]:
    """Return the pages' routes."""
    changed = (ACTION,)
    return [
        web.get(PAGE, show_all, allow_head=False),
        web.get(_NEW, show_new, allow_head=False),
        declare(web.post(_NEW, create), events=changed),
        web.get(ONE, show, allow_head=False),
        declare(web.post(ONE, change), events=changed),
        declare(web.post(f"{ONE}/test", test), events=None, reason=asking.NO_CHANGE),
        declare(web.post(f"{ONE}/enable", enable), events=changed),
        declare(web.post(f"{ONE}/delete", delete), events=changed),
    ]
