"""The page of retention: which age is in force for what and through whom, and the org's own.

Owns these handlers. Ages, holders and holds are decided by `policy/`. Where an AuditPolicy holds
the organization's key, the page names it and changes nothing but by an override for a day.
"""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web
from radar_audit_events.errors import FieldError
from radar_audit_events.policy_wire import LegalHold, RetentionSettings

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

from .answering import REFUSED, refusal, renamed

_PAGE = "/orgs/{org_id}/retention"
_MOST_DAYS = 3650
_hold = msgspec.json.Decoder(LegalHold)


async def show(request: web.Request) -> web.Response:
    """Show what is in force."""
    return await _page(request, await org_visit(request, OWNER))


async def _page(
    request: web.Request, visit: OrgVisit, error: HubError | None = None, form: Form | None = None
) -> web.Response:
    status, mistakes = refusal(error)
    found = await policy.load(request, visit.caller)
    own: RetentionSettings | None = found["policy"]["retention"]
    typed = {
        "days": "" if own is None or own.max_age_hours is None else str(own.max_age_hours // 24),
        "delay": str(24 if own is None else own.shrink_delay_hours),
    }
    if form is not None:
        typed = {name: form.text(name) if form.has(name) else typed[name] for name in typed}
    return page(
        request,
        "settings/retention.html",
        status=status,
        mistakes=mistakes,
        found=found,
        holder=next((one.holder for one in found["keys"] if one.key == "org"), None),
        holds=[] if own is None else [one for one in own.holds if not one.released],
        typed=typed,
        hold={name: "" if form is None else form.text(name) for name in ("name", "reason")},
        query="" if form is None else form.text("query"),
        owner_words=owner_words,
        age_words=age_words,
    )


def age_words(hours: int) -> str:
    """Return an age in days where it is of whole days, else in hours."""
    days, rest = divmod(hours, 24)
    return f"{hours} hours" if rest else f"{days} day{'' if days == 1 else 's'}"


async def save(request: web.Request) -> web.Response:
    """Ask for an age of the org's own, or with an empty field for none."""
    form = await read_form(request)
    visit = await org_visit(request, OWNER)
    try:
        days, delay = form.text("days"), _whole("delay", form.text("delay"), 0, 720)
        hours = _whole("days", days, 1, _MOST_DAYS) * 24 if days else None
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
            hours = _whole("override_days", form.text("override_days"), 1, _MOST_DAYS) * 24
            asked = RetentionSettings(max_age_hours=hours)
        await policy.set_override(request, visit.caller, policy.OverrideOrder(retention=asked))
    except REFUSED as error:
        return await _page(request, visit, error)
    return see_other(request, _address(visit), "saved")


async def _store(
    request: web.Request,
    visit: OrgVisit,
    form: Form,
    own: OwnPolicy,
    retention: RetentionSettings,
) -> None:
    asked = msgspec.structs.replace(own, retention=retention)
    try:
        await policy.save(request, visit.caller, asked, revision=form.text("revision"))
    except InvalidBodyError as error:  # the page's fields have the last part of the document's name
        raise renamed(error, lambda field: field.rpartition(".")[2]) from None


def _whole(name: str, text: str, least: int, most: int) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 6 and least <= int(text) <= most:
        return int(text)
    raise InvalidBodyError([FieldError(name, f"must be a whole number from {least} to {most}")])


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
