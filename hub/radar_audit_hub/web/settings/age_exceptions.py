"""The page of an exception of the organization's retention: make, change, delete.

Owns these handlers. An exception gives some actions another age; what one may be is decided by
`policy/`. Where an AuditPolicy holds the organization's key, the page names it and changes nothing.
"""

from __future__ import annotations

import msgspec
from aiohttp import web
from radar_audit_events.errors import FieldError
from radar_audit_events.policy_wire import AgeOverride, RetentionSettings

from radar_audit_hub.auth.principal import OWNER
from radar_audit_hub.declarations import declare
from radar_audit_hub.errors import ConflictError, HubError, InvalidBodyError
from radar_audit_hub.policy import people as policy
from radar_audit_hub.policy.releasing import ACTION
from radar_audit_hub.web.forms import Form, as_document, read_form
from radar_audit_hub.web.owner_words import owner_words
from radar_audit_hub.web.rendering import page, see_other
from radar_audit_hub.web.visits import OrgVisit, org_visit

from .ages import UNITS, age_hours, age_texts
from .answering import REFUSED
from .entries import lines
from .mending import refused
from .named_parts import part_named, with_part
from .own_retention import PAGE, address_of, key_holder, on_page, store

_NEW = PAGE + "/new-exception"
_ONE = PAGE + "/exceptions/{exception}"
LABELS = {
    "name": "Name",
    "actions": "Actions",
    "age": "Keep them for",
    "age_unit": "Unit of the age",
}
_exception = msgspec.json.Decoder(AgeOverride)


async def show_new(request: web.Request) -> web.Response:
    """Show the form of a new exception."""
    return await _page(request, await org_visit(request, OWNER), None)


async def show(request: web.Request) -> web.Response:
    """Show an exception."""
    visit = await org_visit(request, OWNER)
    return await _page(request, visit, await _named(request, visit))


async def _named(request: web.Request, visit: OrgVisit) -> AgeOverride:
    own, _ = await policy.load_own(request, visit.caller)
    asked = [] if own.retention is None else own.retention.overrides
    return part_named(asked, request.match_info["exception"], "exception")


async def _page(
    request: web.Request,
    visit: OrgVisit,
    before: AgeOverride | None,
    error: HubError | None = None,
    form: Form | None = None,
) -> web.Response:
    status, mistakes = refused(error, LABELS, on_page)
    found = await policy.load(request, visit.caller)
    own: RetentionSettings = found["policy"]["retention"] or RetentionSettings()
    typed = {
        "name": "",
        "actions": "" if before is None else "\n".join(before.actions),
        **age_texts(None if before is None else before.max_age_hours),
    }
    if form is not None:
        typed = {name: form.text(name) if form.has(name) else typed[name] for name in typed}
    return page(
        request,
        "settings/retention_exception.html",
        status=status,
        mistakes=mistakes,
        labels=LABELS,
        units=UNITS,
        exception=before,
        revision=found["revision"],
        delay_hours=own.shrink_delay_hours,
        holder=key_holder(found),
        typed=typed,
        owner_words=owner_words,
    )


async def create(request: web.Request) -> web.Response:
    """Make an exception."""
    form = await read_form(request)
    return await _saved(request, await org_visit(request, OWNER), form, None)


async def change(request: web.Request) -> web.Response:
    """Change an exception; it keeps its name."""
    form = await read_form(request)
    visit = await org_visit(request, OWNER)
    return await _saved(request, visit, form, await _named(request, visit))


async def _saved(
    request: web.Request, visit: OrgVisit, form: Form, before: AgeOverride | None
) -> web.Response:
    try:
        hours = age_hours(form, "age")
        if hours is None:
            raise InvalidBodyError([FieldError("age", "must be given")])
        values = {
            "name": form.text("name") if before is None else before.name,
            "actions": lines(form, "actions"),
            "max_age_hours": hours,
        }
        asked = as_document(values, _exception)
        await _store(request, visit, form, asked.name, asked, is_new=before is None)
    except REFUSED as error:
        return await _page(request, visit, before, error, form)
    return see_other(request, address_of(visit), "saved")


async def delete(request: web.Request) -> web.Response:
    """Delete an exception: its actions are kept as long as all others."""
    form = await read_form(request)
    visit = await org_visit(request, OWNER)
    before = await _named(request, visit)
    try:
        await _store(request, visit, form, before.name, None)
    except REFUSED as error:
        return await _page(request, visit, before, error)
    return see_other(request, address_of(visit), "exception_deleted")


async def _store(
    request: web.Request,
    visit: OrgVisit,
    form: Form,
    name: str,
    asked: AgeOverride | None,
    *,
    is_new: bool = False,
) -> None:
    """Store the organization's retention with an exception added, changed, or (None) taken out.

    Raises InvalidBodyError, ConflictError.
    """
    holder = key_holder(await policy.load(request, visit.caller))
    if holder is not None:
        raise ConflictError(f"{owner_words(holder.owner_id)} sets the retention: change it there")
    own, _ = await policy.load_own(request, visit.caller)
    before = own.retention or RetentionSettings()
    after = with_part(before.overrides, name, asked, is_new=is_new, what="an exception")
    await store(request, visit, form, own, msgspec.structs.replace(before, overrides=after))


def routes() -> list[web.RouteDef]:
    """Return the page's routes."""
    changed = (ACTION,)
    return [
        web.get(_NEW, show_new, allow_head=False),
        declare(web.post(_NEW, create), events=changed),
        web.get(_ONE, show, allow_head=False),
        declare(web.post(_ONE, change), events=changed),
        declare(web.post(f"{_ONE}/delete", delete), events=changed),
    ]
