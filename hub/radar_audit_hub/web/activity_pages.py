"""The Activity pages: the log with its filter, one event, and a reader's saved views.

Owns these handlers. What is found is the store's, who may read `org_visit`'s, and how old an event
may be `floors_of`'s, exactly as for the API's routes; a look at a page is recorded where the org
wants reads recorded. Never holds SQL and never writes an event of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from aiohttp import web
from radar_audit_events.actions import ACTIONS, TARGET_TYPES
from radar_audit_events.errors import FieldError, QueryError
from radar_audit_events.ids import new_id, parse_ms
from radar_audit_events.query import parse

from radar_audit_hub.audit import cursor
from radar_audit_hub.audit.access_log import note_read
from radar_audit_hub.audit.handlers import find_event
from radar_audit_hub.auth.principal import LOG_READERS, OWNER
from radar_audit_hub.changes import changing
from radar_audit_hub.context import HUB, Hub
from radar_audit_hub.declarations import declare
from radar_audit_hub.errors import ConflictError, InvalidBodyError, NotFoundError
from radar_audit_hub.names import NAME_TEXT, is_name
from radar_audit_hub.retention.policy import Floors, floors_of
from radar_audit_hub.store import query
from radar_audit_hub.store.facets import Facets, facets
from radar_audit_hub.store.histogram import Stretches, stretches
from radar_audit_hub.store.members import page_members
from radar_audit_hub.store.saved_views import (
    MAX_VIEWS,
    SavedView,
    count_views,
    delete_view,
    insert_view,
    list_views,
)

from .bars import bars, step_for
from .event_rows import rows_of
from .forms import read_form
from .log_filter import (
    ALL,
    FORM_NAMES,
    RANGES,
    SHOWN_CONTROLS,
    FilterMistakeError,
    LogFilter,
    Mistake,
    read,
)
from .rendering import page, see_other
from .retention_words import retention_words
from .visits import OrgVisit, org_visit
from .zone_cookie import zone_of
from .zones import field_text, is_field_text

PAGE_ROWS = 50
_MAX_SUGGESTIONS = 200
_COUNTED_ROWS = 10_000  # for the counts by actor: a page is opened more often than it is read
_PREFERENCE = "a reader's own view of the log, which nobody else sees"


def path_of(org_id: str) -> str:
    """Return the address of an org's Activity page."""
    return f"/orgs/{org_id}/activity"


async def show_activity(request: web.Request) -> web.Response:
    """Show what of the log a filter finds, newest first."""
    visit = await org_visit(request, *LOG_READERS)
    hub, given = request.app[HUB], dict(request.query)
    zone, path = zone_of(request), path_of(visit.caller.org_id)
    try:
        found = read(given, zone)
    except FilterMistakeError as error:
        return await _mistaken(request, visit, given, error.mistake)
    if any(name in given for name in FORM_NAMES):
        return see_other(request, found.address(path))
    await note_read(hub, visit.caller)
    now_ms = hub.now_ms()
    floors = floors_of(visit.caller, now_ms)
    start = _position(found, given.get("cursor"), visit.caller.org_id, now_ms)
    next_seq = await query.next_seq(hub.db, visit.caller.org_id)
    with hub.metrics.query_seconds.labels("list").time():
        asked = found.query
        if start.from_ms is not None:  # the window as it was on the first page
            asked = found.with_times(start.from_ms, None).query
        got = await query.page(
            hub.db,
            visit.caller.org_id,
            asked,
            floors,
            before=start.before or None,
            limit=PAGE_ROWS,
        )
    rows = await rows_of(
        hub.db, visit.caller.org_id, got.rows, floors, asked, org_name=visit.caller.org_name
    )
    older = None
    if got.next_before is not None:
        position = cursor.Position(got.next_before, start.from_ms)
        text = cursor.encode(position, visit.caller.org_id, _cursor_text(found))
        older = found.address(path, cursor=text)
    values: dict[str, Any] = {"is_first": not start.before, "counts": None, "chart": None}
    if not start.before:
        values |= await _overview(hub, visit, found, floors, now_ms, zone)
    return page(
        request,
        "activity.html",
        found=found,
        rows=rows,
        older=older,
        last_seq=next_seq - 1,
        notice=retention_words(visit.caller.plan, found, floors, now_ms),
        mistake=None,
        **values,
        **await _controls(hub, visit, found, given, zone, values["counts"]),
    )


def _cursor_text(found: LogFilter) -> str:
    return f"{found.range_name or ''}|{found.query}"


def _position(found: LogFilter, text: str | None, org_id: str, now_ms: int) -> cursor.Position:
    """Return where the page begins. Raises InvalidCursorError."""
    if text:
        return cursor.decode(text, org_id, _cursor_text(found))
    if found.range_name is None:
        return cursor.Position("")
    return cursor.Position("", found.span(now_ms, 0)[0])


async def _overview(
    hub: Hub, visit: OrgVisit, found: LogFilter, floors: Floors, now_ms: int, zone: ZoneInfo
) -> dict[str, Any]:
    """Return the counts and the histogram of a filter."""
    org_id, asked = visit.caller.org_id, found.whole_query(now_ms)
    with hub.metrics.query_seconds.labels("facets").time():
        counts: Facets = await facets(hub.db, org_id, asked, floors, budget_rows=_COUNTED_ROWS)
    from_ms, to_ms = found.span(now_ms, floors.default_ms)
    with hub.metrics.query_seconds.labels("histogram").time():
        over_time: Stretches = await stretches(
            hub.db,
            org_id,
            asked,
            floors,
            from_ms=from_ms,
            to_ms=to_ms,
            step_ms=step_for(from_ms, to_ms),
        )
    chart = bars(
        over_time.counts,
        over_time.step_ms,
        from_ms=from_ms,
        to_ms=to_ms,
        counted_from_ms=over_time.counted_from_ms,
        zone=zone,
    )
    return {"counts": counts, "chart": chart}


async def _controls(
    hub: Hub,
    visit: OrgVisit,
    found: LogFilter,
    given: Mapping[str, str],
    zone: ZoneInfo,
    counts: Facets | None,
) -> dict[str, Any]:
    """Return what the filter's form shows, and what it suggests."""
    org_id = visit.caller.org_id
    async with hub.db.read() as conn:
        members = []
        if visit.caller.role == OWNER:  # nobody else may list them
            members = await page_members(conn, org_id, after=None, limit=_MAX_SUGGESTIONS)
        views = await list_views(conn, org_id, visit.caller.user_id)
    seen = [] if counts is None else [actor for actor, _ in counts.actors]
    created = found.created
    return {
        "org_id": org_id,
        "path_of_page": path_of(org_id),
        "actions": ACTIONS,
        "target_types": TARGET_TYPES,
        "ranges": RANGES,
        "range_value": "custom" if created is not None else found.range_name or ALL,
        "from_value": _field(given.get("from"), created.from_ms if created else None, zone),
        "to_value": _field(given.get("to"), created.to_ms if created else None, zone),
        "values": {key: found.value_of(key) for key in SHOWN_CONTROLS},
        "query_text": found.text,
        "people": list(dict.fromkeys([*(one.email for one in members), *seen]))[:_MAX_SUGGESTIONS],
        "views": [(one, _filter_of(one)) for one in views],
    }


def _field(given: str | None, time_ms: int | None, zone: ZoneInfo) -> str:
    """Return what a field for a time holds: what was typed, as far as such a field can hold it."""
    return given if given and is_field_text(given) else field_text(time_ms, zone)


async def _mistaken(
    request: web.Request, visit: OrgVisit, given: dict[str, str], mistake: Mistake
) -> web.Response:
    """Show what was typed, all of it, and where it cannot be read."""
    hub = request.app[HUB]
    nothing = LogFilter(parse(""), None)
    values = await _controls(hub, visit, nothing, given, zone_of(request), None)
    values["values"] = {key: given.get(key, "") for key in SHOWN_CONTROLS}
    values["query_text"] = given.get("q", "")
    values["range_value"] = given.get("range", ALL)
    return page(
        request,
        "activity.html",
        status=400,
        found=nothing,
        rows=[],
        older=None,
        last_seq=-1,
        notice=None,
        is_first=True,
        counts=None,
        chart=None,
        mistake=mistake,
        mistaken=given.get(mistake.field, ""),
        **values,
    )


async def show_event(request: web.Request) -> web.Response:
    """Show one event, as a page that can be linked to."""
    visit = await org_visit(request, *LOG_READERS)
    hub, org_id = request.app[HUB], visit.caller.org_id
    await note_read(hub, visit.caller)
    event = await find_event(hub, visit.caller, request.match_info["event_id"], recorded=True)
    floors = floors_of(visit.caller, hub.now_ms())
    (row,) = await rows_of(hub.db, org_id, [event], floors, org_name=visit.caller.org_name)
    at_ms = parse_ms(event.created_at)
    everything = LogFilter(parse(""), None)
    return page(
        request,
        "event.html",
        row=row,
        org_id=org_id,
        path_of_page=path_of(org_id),
        around=everything.with_times(at_ms - 900_000, at_ms + 900_000).address(path_of(org_id)),
        document=msgspec.json.decode(msgspec.json.encode(event)),
        everything=everything,
    )


async def save_view(request: web.Request) -> web.Response:
    """Keep a filter under a name."""
    form = await read_form(request)
    visit = await org_visit(request, *LOG_READERS)
    caller, hub = visit.caller, request.app[HUB]
    name, range_name = form.text("name"), form.text("range")
    try:
        found = parse(form.text("q"))
    except QueryError as error:
        raise InvalidBodyError([FieldError("q", f"expected {error.expected}")]) from None
    if not is_name(name):
        raise InvalidBodyError([FieldError("name", NAME_TEXT)])
    async with changing(request, caller) as change:
        await change.lock_as(caller.org_id, *LOG_READERS)
        if await count_views(change.conn, caller.org_id, caller.user_id) >= MAX_VIEWS:
            raise ConflictError(f"you keep {MAX_VIEWS} views here already; delete one first")
        view = SavedView(
            id=new_id("view_", change.now_ms, hub.random_bytes(10)),
            name=name,
            query=str(found),
            range_name=range_name if range_name in RANGES else "",
        )
        await insert_view(change.conn, caller.org_id, caller.user_id, view, change.now_ms)
    return see_other(request, _filter_of(view).address(path_of(caller.org_id)), "view_saved")


async def forget_view(request: web.Request) -> web.Response:
    """Delete one of the reader's views."""
    await read_form(request)
    visit = await org_visit(request, *LOG_READERS)
    caller, view_id = visit.caller, request.match_info["view_id"]
    async with changing(request, caller) as change:
        await change.lock_as(caller.org_id, *LOG_READERS)
        known = view_id.isascii() and view_id.replace("_", "").isalnum()
        if not known or not await delete_view(change.conn, caller.org_id, caller.user_id, view_id):
            raise NotFoundError("there is no such view of yours")
    return see_other(request, path_of(caller.org_id), "view_deleted")


def _filter_of(view: SavedView) -> LogFilter:
    return LogFilter(parse(view.query), view.range_name or None)


def routes() -> list[web.RouteDef]:
    """Return the Activity pages' routes."""
    path = "/orgs/{org_id}/activity"
    return [
        web.get(path, show_activity, allow_head=False),
        declare(web.post(f"{path}/views", save_view), events=None, reason=_PREFERENCE),
        declare(
            web.post(f"{path}/views/{{view_id}}/delete", forget_view),
            events=None,
            reason=_PREFERENCE,
        ),
        web.get(f"{path}/{{event_id}}", show_event, allow_head=False),
    ]
