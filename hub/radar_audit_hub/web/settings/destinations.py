"""The pages of notifications: all destinations and rules, and one destination in detail.

Owns the handlers of destinations. What a destination may be, and who may change it, is decided by
`destinations/` and `policy/`; what was delivered to one is in `deliveries.py`, the rules in
`rules.py`. Never shows a secret but one that the hub has just made, once.
"""

from __future__ import annotations

import base64
from typing import Any

import msgspec
from aiohttp import web
from radar_audit_events.errors import FieldError
from radar_audit_events.ids import format_ms
from radar_audit_events.policy_wire import Destination
from radar_audit_events.receiver_keys import SECRET_PREFIX

from radar_audit_hub.auth.principal import OWNER
from radar_audit_hub.context import HUB
from radar_audit_hub.declarations import declare
from radar_audit_hub.destinations import asking
from radar_audit_hub.destinations import handlers as destinations
from radar_audit_hub.destinations import log_handlers as log
from radar_audit_hub.destinations.rules import DestinationChange
from radar_audit_hub.errors import HubError, InvalidBodyError, TooManyRequestsError
from radar_audit_hub.policy import people as policy
from radar_audit_hub.policy.alerts import CHANNELS
from radar_audit_hub.policy.releasing import ACTION
from radar_audit_hub.web import zone_cookie, zones
from radar_audit_hub.web.forms import Form, as_document, read_form
from radar_audit_hub.web.owner_words import owner_words
from radar_audit_hub.web.rendering import page, see_other
from radar_audit_hub.web.visits import OrgVisit, org_visit

from .answering import REFUSED, refusal, renamed

PAGE = "/orgs/{org_id}/notifications"
ONE = PAGE + "/destinations/{destination_id}"
_NEW = PAGE + "/destinations/new"
SEVERITIES = ("info", "warning", "critical")
ENVELOPES = ("radar", "cloudevents")
TITLES = {
    "slack": "Slack",
    "webhook": "Webhook",
    "email": "E-mail",
    "teams": "Microsoft Teams",
    "pagerduty": "PagerDuty",
}
_FIELDS = ("name", "url", "routing_key", "to", "signing_secret", "signing_key", "envelope")
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
    status, mistakes = refusal(error)
    return page(
        request,
        "settings/new_destination.html",
        status=status,
        mistakes=mistakes,
        kind=kind,
        titles=TITLES,
        typed=_typed(form, None),
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
        values = {"name": form.text("name"), **_values(request, form, kind, made_secret)}
        made = await destinations.create(request, visit.caller, as_document(values, _new))
    except REFUSED as error:
        return _new_page(request, kind, _here(error, kind), form)
    if made_secret is None:
        return see_other(request, f"{_address(visit)}/destinations/{made['id']}", "saved")
    return await one_page(request, visit, made, secret=made_secret)


def _values(request: web.Request, form: Form, kind: str, secret: str | None) -> dict[str, Any]:
    """Return what a form says of a destination, as the API's document says it."""
    target: dict[str, Any]
    if kind == "email":
        target = {"to": [line.strip() for line in form.text("to").splitlines() if line.strip()]}
    elif kind == "pagerduty":
        target = {"routing_key": form.text("routing_key") or None}
    elif kind == "webhook":
        target = {
            "url": form.text("url"),
            "signing_secret": form.text("signing_secret") or secret,
            "signing_key": form.text("signing_key") or None,
            "envelope": form.text("envelope") or ENVELOPES[0],
        }
    else:
        target = {"url": form.text("url") or None}
    muted = form.text("muted_until")
    return {
        kind: target,
        "min_severity": form.text("min_severity") or SEVERITIES[0],
        "muted_until": _time(request, muted) if muted else None,
    }


def _time(request: web.Request, text: str) -> str:
    try:
        return format_ms(zones.field_time(text, zone_cookie.zone_of(request)))
    except ValueError as error:
        raise InvalidBodyError([FieldError("muted_until", str(error))]) from None


def _here(error: HubError, kind: str) -> HubError:
    """Return a refusal with its fields named as the page's are: without the channel's name."""
    return renamed(error, lambda field: field.removeprefix(f"{kind}."))


def _typed(form: Form | None, found: dict[str, Any] | None) -> dict[str, str]:
    typed = dict.fromkeys((*_FIELDS, "min_severity", "muted_until"), "")
    if form is not None:
        secret = ("signing_secret", "signing_key", "routing_key")
        return {name: "" if name in secret else form.text(name) for name in typed}
    if found is not None:
        target: Destination = found["settings"]
        typed |= {"name": target.name, "min_severity": target.min_severity}
        if target.webhook is not None:
            typed |= {"url": target.webhook.url, "envelope": target.webhook.envelope}
        if target.email is not None:
            typed["to"] = "\n".join(target.email.to)
    return typed


async def show(request: web.Request) -> web.Response:
    """Show one destination, how it stands, and what was delivered to it."""
    visit = await org_visit(request, OWNER)
    return await one_page(request, visit, await destinations.load(request, visit.caller))


async def one_page(
    request: web.Request,
    visit: OrgVisit,
    found: dict[str, Any],
    *,
    error: HubError | None = None,
    form: Form | None = None,
    secret: str | None = None,
    tested: Any = None,
) -> web.Response:
    """Answer with a destination's page; `secret` was made now, `tested` is a test's outcome."""
    status, mistakes = refusal(error)
    deliveries: dict[str, Any] = {"deliveries": [], "next_cursor": None}
    if "destination_id" in request.match_info:  # else it was made by this request
        deliveries = await log.listed(request, visit.caller)
    return page(
        request,
        "settings/destination.html",
        status=status,
        mistakes=mistakes,
        found=found,
        titles=TITLES,
        owner_words=owner_words,
        typed=_typed(form, found),
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
    """Change a destination; a secret that is left empty stays."""
    form = await read_form(request)
    visit = await org_visit(request, OWNER)
    found = await destinations.load(request, visit.caller)
    try:
        asked = as_document(_values(request, form, found["kind"], None), _change)
        await destinations.edit(request, visit.caller, asked)
    except REFUSED as error:
        wrong = _here(error, found["kind"])
        return await one_page(request, visit, found, error=wrong, form=form)
    return see_other(request, _of(request), "saved")


async def test(request: web.Request) -> web.Response:
    """Send a test, and show how it went."""
    await read_form(request)
    visit = await org_visit(request, OWNER)
    found = await destinations.load(request, visit.caller)
    try:
        tested = await log.test(request, visit.caller)
    except (*REFUSED, TooManyRequestsError) as error:
        return await one_page(request, visit, found, error=error)
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
        return await one_page(request, visit, found, error=error)
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
