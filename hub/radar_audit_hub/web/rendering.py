"""From a template and its values to an answer: every page of the hub is made here.

Owns the templates' environment, what all of them can use, and the headers that every page has.
Called by the pages' handlers, by the error pages and by the sign-in's button. Never marks a value
as safe: what has markup was made by `showing.py` of escaped pieces.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup
from radar_audit_events.errors import TimeError
from radar_audit_events.ids import format_ms, parse_ms

from radar_audit_hub.context import HUB

from . import flash, zone_cookie, zones
from .assets import asset_path
from .forms import CSRF_FIELD, NO_MISTAKES
from .navigation import is_current, menu
from .showing import json_line, json_text, plain_name, shown, spelled_out
from .visits import VISIT

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_TIME = re.compile(r"^\d{4}-\d\d-\d\dT[\d:.]+Z\Z", re.ASCII)
_FACT_CHARS = 72
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    # Not "no-referrer": browsers would send a null origin with a form.
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    # What a session sees is nothing for others who share a cache, nor for the Back button of
    # whoever signs in next: `middleware.mark` adds Cache-Control: no-store.
    "Vary": "Cookie",
}


def page(request: web.Request, template: str, *, status: int = 200, **values: Any) -> web.Response:
    """Answer with a page: `template` is a file of `templates/`, `values` what it names.

    A sentence that the last page left (see `flash.py`) is shown and forgotten.
    """
    zone = zone_cookie.zone_of(request)
    found = environment().get_template(template)
    body = found.render(
        {
            "visit": request.get(VISIT),
            "flash": flash.said(request),
            "path": request.path,
            "here": request.path_qs,
            "now_ms": request.app[HUB].now_ms(),
            "zone": zone,
            "zone_chosen": zone_cookie.is_chosen(request),
            "mistakes": NO_MISTAKES,
            **values,
        }
    )
    response = web.Response(
        text=body, status=status, content_type="text/html", charset="utf-8", headers=HEADERS
    )
    flash.forget(request, response)
    return response


def see_other(request: web.Request, address: str, said: str | None = None) -> web.Response:
    """Send a browser on after a form; `address` is a path of ours, `said` a word of `flash.py`."""
    response = web.Response(status=303, headers={**HEADERS, "Location": address})
    if said is not None:
        flash.say(request, response, said)
    return response


@cache
def environment() -> Environment:
    """Return the templates' environment: every value is escaped, a name that is missing fails."""
    made = Environment(
        loader=PackageLoader("radar_audit_hub.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(
        shown=shown,
        named=plain_name,
        json=json_text,
        json_line=json_line,
        when=_when,
        clock=_clock,
        utc=_utc,
        ago=_ago,
        fact=_fact,
        spelled=spelled_out,
        duration=zones.duration,
        count=_count,
    )
    made.globals.update(
        asset=asset_path,
        menu=menu,
        is_current=is_current,
        csrf_field=_csrf_field,
        zone_names=zones.names,
    )
    return made


@pass_context
def _when(context: Context, time: int | str) -> Markup:
    """Write a time (Unix ms, or RFC 3339) in the reader's zone, in UTC for who hovers over it."""
    return _clock(time, context["zone"])


def _clock(time: int | str, zone: ZoneInfo) -> Markup:
    """Write a time as `when` does; for macros, which are imported without the page's values."""
    time_ms = parse_ms(time) if isinstance(time, str) else time
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        format_ms(time_ms), zones.utc(time_ms), zones.written(time_ms, zone)
    )


def _utc(time: int | str) -> str:
    return zones.utc(parse_ms(time) if isinstance(time, str) else time)


@pass_context
def _ago(context: Context, time: int | str) -> str:
    """Say how long before this page was made a time was."""
    time_ms = parse_ms(time) if isinstance(time, str) else time
    return zones.ago(context["now_ms"] - time_ms)


def _fact(text: str, zone: ZoneInfo) -> Markup:
    """Write what a row names of its metadata: a time on the reader's clock, else the text."""
    try:
        return _clock(text, zone) if _TIME.match(text) else shown(text, _FACT_CHARS)
    except TimeError:
        return shown(text, _FACT_CHARS)


@pass_context
def _csrf_field(context: Context) -> Markup:
    """Return the hidden field that every form of a session needs."""
    visit = context["visit"]
    if visit is None:
        return Markup()
    return Markup('<input type="hidden" name="{}" value="{}">').format(CSRF_FIELD, visit.csrf)


def _count(number: int) -> str:
    """Write a number with thin separators of thousands."""
    return f"{number:,}"
