"""The page of an alert rule of the organization's own: make, try on past days, change, delete.

Owns these handlers. What a rule may be is decided by `policy/`, what it would have told by
`notify/`. Rules of an AuditPolicy are changed in their cluster.
"""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web
from radar_audit_events.errors import FieldError
from radar_audit_events.policy_wire import (
    NOTICE_KINDS,
    AlertRule,
    NotificationSettings,
)

from radar_audit_hub.auth.principal import OWNER
from radar_audit_hub.declarations import declare
from radar_audit_hub.errors import ConflictError, HubError, InvalidBodyError, NotFoundError
from radar_audit_hub.notices.kinds import KINDS
from radar_audit_hub.notify import handlers as trying
from radar_audit_hub.policy import people as policy
from radar_audit_hub.policy.releasing import ACTION
from radar_audit_hub.web.forms import Form, as_document, read_form
from radar_audit_hub.web.rendering import page, see_other
from radar_audit_hub.web.visits import OrgVisit, org_visit

from .answering import REFUSED, refusal, renamed
from .destination_form import SEVERITIES
from .destinations import PAGE

_NEW = PAGE + "/rules/new"
_ONE = PAGE + "/rules/{rule}"
_TEXTS = (
    "name", "query", "severity", "throttle_max", "throttle_minutes", "threshold_count",
    "threshold_minutes", "digest_minutes", "quiet_from", "quiet_to", "quiet_zone",
)  # fmt: skip
_TRIED_DAYS = 7
# What the page calls a field of a rule, where that is not its last name.
_PAGE_NAMES = {
    "throttle.max": "throttle_max",
    "throttle.per_seconds": "throttle_minutes",
    "threshold.count": "threshold_count",
    "threshold.within_seconds": "threshold_minutes",
    "digest_seconds": "digest_minutes",
    "quiet_hours": "quiet_from",
    "quiet_hours.from_time": "quiet_from",
    "quiet_hours.to_time": "quiet_to",
    "quiet_hours.time_zone": "quiet_zone",
}
_rule = msgspec.json.Decoder(AlertRule)


async def show_new(request: web.Request) -> web.Response:
    """Show the form of a new rule."""
    return await _page(request, await org_visit(request, OWNER), None)


async def show(request: web.Request) -> web.Response:
    """Show a rule."""
    visit = await org_visit(request, OWNER)
    return await _page(request, visit, await _named(request, visit))


async def _named(request: web.Request, visit: OrgVisit) -> AlertRule:
    own, _ = await policy.load_own(request, visit.caller)
    rules = [] if own.notifications is None else own.notifications.rules
    name = request.match_info["rule"]
    found = next((one for one in rules if one.name == name), None)
    if found is None:
        raise NotFoundError("there is no such rule")
    return found


async def _page(
    request: web.Request,
    visit: OrgVisit,
    rule: AlertRule | None,
    error: HubError | None = None,
    form: Form | None = None,
    tried: Any = None,
) -> web.Response:
    status, mistakes = refusal(error)
    own, revision = await policy.load_own(request, visit.caller)
    destinations = [] if own.notifications is None else own.notifications.destinations
    return page(
        request,
        "settings/rule.html",
        status=status,
        mistakes=mistakes,
        rule=rule,
        revision=revision,
        typed=_typed(rule) if form is None else {name: form.text(name) for name in _TEXTS},
        actions="\n".join(rule.actions if rule and form is None else _lines(form)),
        chosen=(rule.destinations if rule else []) if form is None else form.many("destinations"),
        kinds=(rule.kinds if rule else []) if form is None else form.many("kinds"),
        suspended=(rule is not None and rule.suspended) if form is None else form.has("suspended"),
        destinations=[one.name for one in destinations],
        known_kinds={name: KINDS[name].title for name in NOTICE_KINDS},
        severities=SEVERITIES,
        tried=tried,
        days=_TRIED_DAYS,
    )


def _lines(form: Form | None) -> list[str]:
    text = "" if form is None else form.text("actions").replace(",", "\n")
    return [line.strip() for line in text.splitlines() if line.strip()]


def _typed(rule: AlertRule | None) -> dict[str, str]:
    typed = dict.fromkeys(_TEXTS, "") | {"severity": SEVERITIES[0], "quiet_zone": "UTC"}
    if rule is None:
        return typed
    typed |= {"name": rule.name, "query": rule.query or "", "severity": rule.severity}
    if rule.throttle is not None:
        typed["throttle_max"] = str(rule.throttle.max)
        typed["throttle_minutes"] = str(rule.throttle.per_seconds // 60)
    if rule.threshold is not None:
        typed["threshold_count"] = str(rule.threshold.count)
        typed["threshold_minutes"] = str(rule.threshold.within_seconds // 60)
    if rule.digest_seconds is not None:
        typed["digest_minutes"] = str(rule.digest_seconds // 60)
    if rule.quiet_hours is not None:
        quiet = rule.quiet_hours
        typed |= {"quiet_from": quiet.from_time, "quiet_to": quiet.to_time}
        typed["quiet_zone"] = quiet.time_zone
    return typed


def _asked(form: Form, before: AlertRule | None) -> AlertRule:
    """Return the rule that a form says; what it has no field for stays as it was.

    Raises InvalidBodyError.
    """
    quiet = None
    if form.text("quiet_from") or form.text("quiet_to"):
        quiet = {
            "from_time": form.text("quiet_from"),
            "to_time": form.text("quiet_to"),
            "time_zone": form.text("quiet_zone") or "UTC",
        }
    values: dict[str, Any] = {} if before is None else msgspec.to_builtins(before)
    digest = form.text("digest_minutes")
    values |= {
        "name": form.text("name") if before is None else before.name,
        "destinations": form.many("destinations"),
        "actions": _lines(form),
        "kinds": form.many("kinds"),
        "query": form.text("query") or None,
        "severity": form.text("severity") or SEVERITIES[0],
        "throttle": _pair(form, "throttle_max", "throttle_minutes", ("max", "per_seconds")),
        "threshold": _pair(
            form, "threshold_count", "threshold_minutes", ("count", "within_seconds")
        ),
        "digest_seconds": _whole("digest_minutes", digest) * 60 if digest else None,
        "quiet_hours": quiet,
        "suspended": form.has("suspended"),
    }
    return as_document(values, _rule)


def _pair(form: Form, count: str, minutes: str, names: tuple[str, str]) -> dict[str, int] | None:
    if not form.text(count) and not form.text(minutes):
        return None
    return {
        names[0]: _whole(count, form.text(count)),
        names[1]: _whole(minutes, form.text(minutes)) * 60,
    }


def _whole(name: str, text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 6:
        return int(text)
    raise InvalidBodyError([FieldError(name, "must be a whole number")])


async def create(request: web.Request) -> web.Response:
    """Make a rule, or try it."""
    form = await read_form(request)
    visit = await org_visit(request, OWNER)
    return await _saved(request, visit, form, None)


async def change(request: web.Request) -> web.Response:
    """Change a rule, or try the change."""
    form = await read_form(request)
    visit = await org_visit(request, OWNER)
    return await _saved(request, visit, form, await _named(request, visit))


async def _saved(
    request: web.Request, visit: OrgVisit, form: Form, before: AlertRule | None
) -> web.Response:
    try:
        asked = _asked(form, before)
        if form.text("do") == "try":
            order = trying.PreviewOrder(rules=[asked], days=_TRIED_DAYS)
            (tried,) = await trying.tried(request, visit.caller, order)
            return await _page(request, visit, before, form=form, tried=tried)
        await _store(request, visit, form, asked.name, asked, is_new=before is None)
    except REFUSED as error:
        return await _page(request, visit, before, _here(error), form)
    return see_other(request, _address(visit), "saved")


async def delete(request: web.Request) -> web.Response:
    """Delete a rule."""
    form = await read_form(request)
    visit = await org_visit(request, OWNER)
    before = await _named(request, visit)
    try:
        await _store(request, visit, form, before.name, None, is_new=False)
    except REFUSED as error:
        return await _page(request, visit, before, _here(error))
    return see_other(request, _address(visit), "rule_deleted")


async def _store(
    request: web.Request,
    visit: OrgVisit,
    form: Form,
    name: str,
    rule: AlertRule | None,
    *,
    is_new: bool,
) -> None:
    own, _ = await policy.load_own(request, visit.caller)
    alerts = own.notifications or NotificationSettings()
    if is_new and any(one.name == name for one in alerts.rules):
        raise ConflictError("there is a rule of this name; choose another")
    if rule is None:
        rules = [one for one in alerts.rules if one.name != name]
    elif is_new:
        rules = [*alerts.rules, rule]
    else:
        rules = [rule if one.name == name else one for one in alerts.rules]
    asked = msgspec.structs.replace(own, notifications=msgspec.structs.replace(alerts, rules=rules))
    await policy.save(request, visit.caller, asked, revision=form.text("revision"))


def _here(error: HubError) -> HubError:
    """Return a refusal with its fields named as the page's are."""

    def name(field: str) -> str:
        inside = field.rpartition("].")[2] if "rules[" in field else field
        first = inside.partition("[")[0]
        return _PAGE_NAMES.get(first, first)

    return renamed(error, name)


def _address(visit: OrgVisit) -> str:
    return f"/orgs/{visit.caller.org_id}/notifications"


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
