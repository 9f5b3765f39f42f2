"""The page of retention: which age is in force for what and through whom, and the org's own.

Owns these handlers. Ages, holders and holds are decided by `policy/`. Where an AuditPolicy holds
the organization's key, the page names it and changes nothing but by an override for a day.
"""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web
from radar_audit_events.errors import FieldError
from radar_audit_events.policy_wire import (
    MAX_AGE_HOURS,
    MIN_AGE_HOURS,
    LegalHold,
    RetentionSettings,
)

from radar_audit_hub.auth.principal import OWNER
from radar_audit_hub.declarations import declare
from radar_audit_hub.errors import ConflictError, HubError, InvalidBodyError
from radar_audit_hub.policy import people as policy
from radar_audit_hub.policy.own import OwnPolicy
from radar_audit_hub.policy.releasing import ACTION
from radar_audit_hub.web.forms import Form, as_document, read_form
from radar_audit_hub.web.owner_words import owner_words
from radar_audit_hub.web.rendering import page, see_other
from radar_audit_hub.web.visits import OrgVisit, org_visit

from .answering import REFUSED
from .entries import whole
from .mending import refused

_PAGE = "/orgs/{org_id}/retention"
_HOURS = {"days": 24, "hours": 1}
LABELS = {
    "age": "Keep events for",
    "age_unit": "Unit of the age",
    "delay": "A shorter age waits for (hours)",
    "override": "Keep events for, for the next 24 hours",
    "override_unit": "Unit of the override",
    "name": "Name",
    "reason": "Reason",
    "query": "Query",
}
_FIELDS = {"max_age_hours": "age", "shrink_delay_hours": "delay"}
_hold = msgspec.json.Decoder(LegalHold)


async def show(request: web.Request) -> web.Response:
    """Show what is in force."""
    return await _page(request, await org_visit(request, OWNER))


async def _page(
    request: web.Request, visit: OrgVisit, error: HubError | None = None, form: Form | None = None
) -> web.Response:
    status, mistakes = refused(error, LABELS, _on_page)
    found = await policy.load(request, visit.caller)
    own: RetentionSettings | None = found["policy"]["retention"]
    typed = {
        **_age_texts(None if own is None else own.max_age_hours),
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
        units=[(unit, unit) for unit in _HOURS],
        found=found,
        holder=next((one.holder for one in found["keys"] if one.key == "org"), None),
        holds=[] if own is None else [one for one in own.holds if not one.released],
        typed=typed,
        hold={name: "" if form is None else form.text(name) for name in ("name", "reason")},
        query="" if form is None else form.text("query"),
        owner_words=owner_words,
        age_words=age_words,
    )


def _age_texts(hours: int | None) -> dict[str, str]:
    """Return an age as its field and its unit hold it: in hours only if it is not of whole days."""
    if hours is None:
        return {"age": "", "age_unit": "days"}
    unit = "hours" if hours % _HOURS["days"] else "days"
    return {"age": str(hours // _HOURS[unit]), "age_unit": unit}


def _age_hours(form: Form, name: str) -> int | None:
    """Return the hours that a field and its unit say, None for an empty one.

    Raises InvalidBodyError.
    """
    text = form.text(name)
    if not text:
        return None
    unit = form.text(f"{name}_unit") or "days"
    if unit not in _HOURS:
        raise InvalidBodyError([FieldError(f"{name}_unit", "must be days or hours")])
    size = _HOURS[unit]
    least, most = MIN_AGE_HOURS // size, MAX_AGE_HOURS // size
    if not text.isascii() or not text.isdigit() or not least <= int(text[:7]) <= most:
        message = f"must be a whole number from {least} to {most} {unit}"
        raise InvalidBodyError([FieldError(name, message)])
    return int(text) * size


def age_words(hours: int) -> str:
    """Return an age in days where it is of whole days, else in hours."""
    days, rest = divmod(hours, 24)
    return f"{hours} hours" if rest else f"{days} day{'' if days == 1 else 's'}"


async def save(request: web.Request) -> web.Response:
    """Ask for an age of the org's own, or with an empty field for none."""
    form = await read_form(request)
    visit = await org_visit(request, OWNER)
    try:
        hours, delay = _age_hours(form, "age"), whole(form, "delay")
        own, _ = await policy.load_own(request, visit.caller)
        before = own.retention or RetentionSettings()
        after = msgspec.structs.replace(before, max_age_hours=hours, shrink_delay_hours=delay)
        await _store(request, visit, form, own, after)
    except REFUSED as error:
        return await _page(request, visit, error, form)
    return see_other(request, _address(visit), "saved")


async def add_hold(request: web.Request) -> web.Response:
    """Keep what a query selects until it is released."""
    form = await read_form(request)
    visit = await org_visit(request, OWNER)
    try:
        values: dict[str, Any] = {
            "name": form.text("name"),
            "reason": form.text("reason"),
            "query": form.text("query") or None,
        }
        own, _ = await policy.load_own(request, visit.caller)
        before = own.retention or RetentionSettings()
        made = as_document(values, _hold)
        if any(one.name == made.name and not one.released for one in before.holds):
            raise ConflictError("there is a hold of this name; choose another")
        kept = [one for one in before.holds if one.name != made.name]
        await _store(
            request, visit, form, own, msgspec.structs.replace(before, holds=[*kept, made])
        )
    except REFUSED as error:
        return await _page(request, visit, error, form)
    return see_other(request, _address(visit), "hold_added")


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
        await _store(request, visit, form, own, msgspec.structs.replace(before, holds=after))
    except REFUSED as error:
        return await _page(request, visit, error)
    return see_other(request, _address(visit), "hold_released")


async def override(request: web.Request) -> web.Response:
    """Let an age of the owner's count for a day instead of all policies, or end that."""
    form = await read_form(request)
    visit = await org_visit(request, OWNER)
    try:
        asked = None
        if not form.has("end"):
            hours = _age_hours(form, "override")
            if hours is None:
                raise InvalidBodyError([FieldError("override", "must be given")])
            asked = RetentionSettings(max_age_hours=hours)
        await policy.set_override(request, visit.caller, policy.OverrideOrder(retention=asked))
    except REFUSED as error:
        return await _page(request, visit, error, form)
    return see_other(request, _address(visit), "saved")


async def _store(
    request: web.Request,
    visit: OrgVisit,
    form: Form,
    own: OwnPolicy,
    retention: RetentionSettings,
) -> None:
    asked = msgspec.structs.replace(own, retention=retention)
    await policy.save(request, visit.caller, asked, revision=form.text("revision"))


def _on_page(mistake: FieldError) -> FieldError:
    """Return a mistake as of the page's field; what is of no field has none that is linked to."""
    inside = mistake.field.removeprefix("retention.")
    if inside == "holds":
        return FieldError("the holds", mistake.message)
    last = inside.rpartition(".")[2]
    return FieldError(_FIELDS.get(last, last), mistake.message)


def _address(visit: OrgVisit) -> str:
    return f"/orgs/{visit.caller.org_id}/retention"


def routes() -> list[web.RouteDef]:
    """Return the page's routes."""
    changed = (ACTION,)
    return [
        web.get(_PAGE, show, allow_head=False),
        declare(web.post(_PAGE, save), events=changed),
        declare(web.post(f"{_PAGE}/holds", add_hold), events=changed),
        declare(web.post(f"{_PAGE}/holds/release", release_hold), events=changed),
        declare(web.post(f"{_PAGE}/override", override), events=changed),
    ]
