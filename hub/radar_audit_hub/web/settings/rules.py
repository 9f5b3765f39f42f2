"""The page of an alert rule of the organization's own: make, try on past days, change, delete.

Owns these handlers; the form is `rule_form.py`'s. What a rule may be is decided by `policy/`, what
it would have told by `notify/`. Rules of an AuditPolicy are changed in their cluster.
"""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web
from radar_audit_events.policy_wire import (
    NOTICE_KINDS,
    AlertRule,
    NotificationSettings,
)

from radar_audit_hub.auth.principal import OWNER
from radar_audit_hub.context import HUB
from radar_audit_hub.declarations import declare
from radar_audit_hub.notices.kinds import KINDS
from radar_audit_hub.notify import handlers as trying
from radar_audit_hub.notify.previewing import MAX_DAYS
from radar_audit_hub.policy import people as policy
from radar_audit_hub.policy.own import OwnPolicy
from radar_audit_hub.policy.releasing import ACTION
from radar_audit_hub.web.forms import NO_MISTAKES, Form, Mistakes, read_form
from radar_audit_hub.web.rendering import page, see_other
from radar_audit_hub.web.visits import OrgVisit, org_visit
from radar_audit_hub.web.zone_cookie import zone_of

from .answering import REFUSED
from .destination_form import SEVERITIES
from .destinations import PAGE
from .entries import is_ahead, whole
from .named_parts import part_named, with_part
from .rule_form import GROUPS, asked, filled
from .rule_mistakes import LABELS, rule_mistakes

_NEW = PAGE + "/rules/new"
_ONE = PAGE + "/rules/{rule}"
_TRIED_DAYS = 7


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
    return part_named(rules, request.match_info["rule"], "rule")


async def _page(
    request: web.Request,
    visit: OrgVisit,
    rule: AlertRule | None,
    refusal: tuple[int, Mistakes] = (200, NO_MISTAKES),
    form: Form | None = None,
    tried: Any = None,
) -> web.Response:
    own, revision = await policy.load_own(request, visit.caller)
    destinations = [] if own.notifications is None else own.notifications.destinations
    muted_until = None if rule is None else rule.muted_until
    return page(
        request,
        "settings/rule.html",
        status=refusal[0],
        mistakes=refusal[1],
        labels=LABELS,
        rule=rule,
        is_muted=is_ahead(muted_until, request.app[HUB].now_ms()),
        revision=revision,
        filled=filled(form, rule, zone_of(request)),
        destinations=[one.name for one in destinations],
        known_kinds={name: KINDS[name].title for name in NOTICE_KINDS},
        severities=SEVERITIES,
        groups=GROUPS,
        tried=tried,
        days=str(_TRIED_DAYS) if form is None else form.text("days") or str(_TRIED_DAYS),
        most_days=MAX_DAYS,
    )


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
    name = form.text("name") if before is None else before.name
    names: list[str] = []
    try:
        rule = asked(form, before, zone_of(request))
        if form.text("do") == "try":
            days = whole(form, "days") if form.text("days") else _TRIED_DAYS
            order = trying.PreviewOrder(rules=[rule], days=days)
            (tried,) = await trying.tried(request, visit.caller, order)
            return await _page(request, visit, before, form=form, tried=tried)
        own, _ = await policy.load_own(request, visit.caller)
        after = _with(own, name, rule, is_new=before is None)
        names = _names(after)
        await policy.save(request, visit.caller, after, revision=form.text("revision"))
    except REFUSED as error:
        wrong = rule_mistakes(error, names, name, is_new=before is None)
        return await _page(request, visit, before, wrong, form)
    return see_other(request, _address(visit), "saved")


async def delete(request: web.Request) -> web.Response:
    """Delete a rule."""
    form = await read_form(request)
    visit = await org_visit(request, OWNER)
    before = await _named(request, visit)
    names: list[str] = []
    try:
        own, _ = await policy.load_own(request, visit.caller)
        after = _with(own, before.name, None, is_new=False)
        names = _names(after)
        await policy.save(request, visit.caller, after, revision=form.text("revision"))
    except REFUSED as error:
        wrong = rule_mistakes(error, names, before.name, is_new=False)
        return await _page(request, visit, before, wrong)
    return see_other(request, _address(visit), "rule_deleted")


def _with(own: OwnPolicy, name: str, rule: AlertRule | None, *, is_new: bool) -> OwnPolicy:
    """Return the org's own document with a rule added, changed, or (None) taken out.

    Raises ConflictError.
    """
    alerts = own.notifications or NotificationSettings()
    rules = with_part(alerts.rules, name, rule, is_new=is_new, what="a rule")
    return msgspec.structs.replace(own, notifications=msgspec.structs.replace(alerts, rules=rules))


def _names(own: OwnPolicy) -> list[str]:
    return [] if own.notifications is None else [one.name for one in own.notifications.rules]


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
