"""The page of retention: which age is in force for what and through whom, and the org's own.

Owns these handlers. Ages, holders and holds are decided by `policy/`. Where an AuditPolicy holds
the organization's key, the page names it and changes nothing but by an override for a day.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
from aiohttp import web
from radar_audit_events.errors import FieldError
from radar_audit_events.policy_wire import LegalHold, RetentionSettings

from radar_audit_hub.auth.principal import OWNER
from radar_audit_hub.context import HUB
from radar_audit_hub.declarations import declare
from radar_audit_hub.errors import ConflictError, HubError, InvalidBodyError
from radar_audit_hub.policy import people as policy
from radar_audit_hub.policy.releasing import ACTION
from radar_audit_hub.retention.in_force import read
from radar_audit_hub.store.owners import in_force
from radar_audit_hub.web.forms import Form, as_document, read_form
from radar_audit_hub.web.owner_words import owner_words
from radar_audit_hub.web.rendering import page, see_other
from radar_audit_hub.web.visits import OrgVisit, org_visit
from radar_audit_hub.web.zone_cookie import zone_of

from .ages import UNITS, age_hours, age_texts, age_words
from .answering import REFUSED
from .entries import is_ahead, time_of, whole
from .exception_rows import ExceptionRow, exception_rows
from .mending import refused
from .own_retention import PAGE, address_of, key_holder, on_page, store

LABELS = {
    "age": "Keep events for",
    "age_unit": "Unit of the age",
    "delay": "A shorter age waits for (hours)",
    "override": "Keep events for, for the next 24 hours",
    "override_unit": "Unit of the override",
    "name": "Name",
    "reason": "Reason",
    "query": "Query",
    "until": "Ends",
}
_HOLD = ("name", "reason", "query", "until")
_hold = msgspec.json.Decoder(LegalHold)


async def show(request: web.Request) -> web.Response:
    """Show what is in force."""
    return await _page(request, await org_visit(request, OWNER))


async def _page(
    request: web.Request, visit: OrgVisit, error: HubError | None = None, form: Form | None = None
) -> web.Response:
    status, mistakes = refused(error, LABELS, on_page)
    found = await policy.load(request, visit.caller)
    own: RetentionSettings | None = found["policy"]["retention"]
    typed = {
        **age_texts(None if own is None else own.max_age_hours),
        "delay": str(24 if own is None else own.shrink_delay_hours),
        "override": "",
        "override_unit": "days",
    }
    if form is not None:
        typed = {name: form.text(name) if form.has(name) else typed[name] for name in typed}
    return page(
        request,
        "settings/retention.html",
        status=status,
        mistakes=mistakes,
        labels=LABELS,
        units=UNITS,
        found=found,
        exceptions=await _exceptions(request, visit, found),
        own=[] if own is None else own.overrides,
        holder=key_holder(found),
        holds=[] if own is None else [one for one in own.holds if not one.released],
        is_ahead=partial(is_ahead, now_ms=request.app[HUB].now_ms()),
        typed=typed,
        hold={name: "" if form is None else form.text(name) for name in _HOLD},
        owner_words=owner_words,
        age_words=age_words,
    )


async def _exceptions(
    request: web.Request, visit: OrgVisit, found: dict[str, Any]
) -> list[ExceptionRow]:
    """Return the exceptions that are asked for, with what of them waits."""
    hub = request.app[HUB]
    async with hub.db.read() as conn:
        text, _ = await in_force(conn, visit.caller.org_id)
    rows = exception_rows(
        found["overrides"],
        read(text).ages,
        ceiling_hours=found["ceiling_hours"],
        now_ms=hub.now_ms(),
    )
    return list(rows)


async def save(request: web.Request) -> web.Response:
    """Ask for an age of the org's own, or with an empty field for none."""
    form = await read_form(request)
    visit = await org_visit(request, OWNER)
    try:
        hours, delay = age_hours(form, "age"), whole(form, "delay")
        own, _ = await policy.load_own(request, visit.caller)
        before = own.retention or RetentionSettings()
        after = msgspec.structs.replace(before, max_age_hours=hours, shrink_delay_hours=delay)
        await store(request, visit, form, own, after)
    except REFUSED as error:
        return await _page(request, visit, error, form)
    return see_other(request, address_of(visit), "saved")


async def add_hold(request: web.Request) -> web.Response:
    """Keep what a query selects until its end, or until it is released."""
    form = await read_form(request)
    visit = await org_visit(request, OWNER)
    try:
        values: dict[str, Any] = {
            "name": form.text("name"),
            "reason": form.text("reason"),
            "query": form.text("query") or None,
            "until": _end(request, form),
        }
        own, _ = await policy.load_own(request, visit.caller)
        before = own.retention or RetentionSettings()
        made = as_document(values, _hold)
        if any(one.name == made.name and not one.released for one in before.holds):
            raise ConflictError("there is a hold of this name; choose another")
        kept = [one for one in before.holds if one.name != made.name]
        await store(request, visit, form, own, msgspec.structs.replace(before, holds=[*kept, made]))
    except REFUSED as error:
        return await _page(request, visit, error, form)
    return see_other(request, address_of(visit), "hold_added")


def _end(request: web.Request, form: Form) -> str | None:
    """Return a hold's end, None for none. Raises InvalidBodyError, also for one that is over."""
    end = time_of(form, "until", zone_of(request))
    if end is not None and not is_ahead(end, request.app[HUB].now_ms()):
        raise InvalidBodyError([FieldError("until", "must be later than now")])
    return end


async def release_hold(request: web.Request) -> web.Response:
    """End a hold of the org's own."""
    form = await read_form(request)
    visit = await org_visit(request, OWNER)
    try:
        own, _ = await policy.load_own(request, visit.caller)
        before = own.retention or RetentionSettings()
        if not any(one.name == form.text("name") for one in before.holds):
            raise ConflictError("there is no hold of this name any more")
        after = [
            msgspec.structs.replace(one, released=True) if one.name == form.text("name") else one
            for one in before.holds
        ]
        await store(request, visit, form, own, msgspec.structs.replace(before, holds=after))
    except REFUSED as error:
        return await _page(request, visit, error)
    return see_other(request, address_of(visit), "hold_released")


async def override(request: web.Request) -> web.Response:
    """Let an age of the owner's count for a day instead of all policies, or end that."""
    form = await read_form(request)
    visit = await org_visit(request, OWNER)
    try:
        asked = None
        if not form.has("end"):
            hours = age_hours(form, "override")
            if hours is None:
                raise InvalidBodyError([FieldError("override", "must be given")])
            asked = RetentionSettings(max_age_hours=hours)
        await policy.set_override(request, visit.caller, policy.OverrideOrder(retention=asked))
    except REFUSED as error:
        return await _page(request, visit, error, form)
    return see_other(request, address_of(visit), "saved")


def routes() -> list[web.RouteDef]:
    """Return the page's routes."""
    changed = (ACTION,)
    return [
        web.get(PAGE, show, allow_head=False),
        declare(web.post(PAGE, save), events=changed),
        declare(web.post(f"{PAGE}/holds", add_hold), events=changed),
        declare(web.post(f"{PAGE}/holds/release", release_hold), events=changed),
        declare(web.post(f"{PAGE}/override", override), events=changed),
    ]
