"""The page of an exception of the organization's retention: make, change, delete.

Owns these handlers. An exception gives some actions another age; what one may be is decided by
`policy/`. Where an AuditPolicy holds the organization's key, the page names it and changes nothing.
"""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web
from radar_audit_events.errors import FieldError
from radar_audit_events.policy_answers import Holder
from radar_audit_events.policy_wire import AgeOverride, RetentionSettings

from radar_audit_hub.auth.principal import OWNER
from radar_audit_hub.declarations import declare
from radar_audit_hub.errors import ConflictError, HubError, InvalidBodyError, NotFoundError
from radar_audit_hub.policy import people as policy
from radar_audit_hub.policy.claims import ORG_KEY
from radar_audit_hub.policy.releasing import ACTION
from radar_audit_hub.web.forms import Form, as_document, read_form
from radar_audit_hub.web.owner_words import owner_words
from radar_audit_hub.web.rendering import page, see_other
from radar_audit_hub.web.visits import OrgVisit, org_visit

from .ages import UNITS, age_hours, age_texts
from .answering import REFUSED
from .entries import lines
from .mending import refused

_RETENTION = "/orgs/{org_id}/retention"
_NEW = _RETENTION + "/new-exception"
_ONE = _RETENTION + "/exceptions/{exception}"
LABELS = {
    "name": "Name",
    "actions": "Actions",
    "age": "Keep them for",
    "age_unit": "Unit of the age",
}
_FIELDS = {"max_age_hours": "age"}
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
    found = next((one for one in asked if one.name == request.match_info["exception"]), None)
    if found is None:
        raise NotFoundError("there is no such exception")
    return found


async def _page(
    request: web.Request,
    visit: OrgVisit,
    before: AgeOverride | None,
    error: HubError | None = None,
    form: Form | None = None,
) -> web.Response:
    status, mistakes = refused(error, LABELS, _on_page)
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


def key_holder(found: dict[str, Any]) -> Holder | None:
    """Return who holds the organization's key, None where its own people set the retention.

    `found` is what `policy.load` returned. The own document never holds the key.
    """
    return next((one.holder for one in found["keys"] if one.key == ORG_KEY), None)


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
        await _store(request, visit, form, as_document(values, _exception), is_new=before is None)
    except REFUSED as error:
        return await _page(request, visit, before, error, form)
    return see_other(request, _address(visit), "saved")


async def delete(request: web.Request) -> web.Response:
    """Delete an exception: its actions are kept as long as all others."""
    form = await read_form(request)
    visit = await org_visit(request, OWNER)
    before = await _named(request, visit)
    try:
        await _store(request, visit, form, before, is_gone=True)
    except REFUSED as error:
        return await _page(request, visit, before, error)
    return see_other(request, _address(visit), "exception_deleted")


async def _store(
    request: web.Request,
    visit: OrgVisit,
    form: Form,
    asked: AgeOverride,
    *,
    is_new: bool = False,
    is_gone: bool = False,
) -> None:
    """Store the organization's retention with an exception added, changed or taken out.

    Raises InvalidBodyError, ConflictError.
    """
    holder = key_holder(await policy.load(request, visit.caller))
    if holder is not None:
        raise ConflictError(f"{owner_words(holder.owner_id)} sets the retention: change it there")
    own, _ = await policy.load_own(request, visit.caller)
    before = own.retention or RetentionSettings()
    if is_new and any(one.name == asked.name for one in before.overrides):
        raise ConflictError("there is an exception of this name; choose another")
    after = [asked if one.name == asked.name else one for one in before.overrides]
    if is_new:
        after = [*before.overrides, asked]
    elif is_gone:
        after = [one for one in before.overrides if one.name != asked.name]
    retention = msgspec.structs.replace(before, overrides=after)
    document = msgspec.structs.replace(own, retention=retention)
    await policy.save(request, visit.caller, document, revision=form.text("revision"))


def _on_page(mistake: FieldError) -> FieldError:
    """Return a mistake as of the page's field; what is of no field has none that is linked to."""
    inside = mistake.field.removeprefix("retention.")
    if inside == "overrides":
        return FieldError("the exceptions", mistake.message)
    last = inside.rpartition(".")[2]
    return FieldError(_FIELDS.get(last, last), mistake.message)


def _address(visit: OrgVisit) -> str:
    return f"/orgs/{visit.caller.org_id}/retention"


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
