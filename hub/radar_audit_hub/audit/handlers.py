"""The routes of the audit log: pages, one event, facets, gaps, schemas.

Owns the edge: who may read, what was asked, which store function answers, and the
answer's form. `app.py` lists its `routes()`. Exports are in `exports.py`, following
in `tail.py`. Never holds SQL and never decides what is too old: `floors` does.
"""

from __future__ import annotations

import re

import msgspec
from aiohttp import web
from radar_audit_events.actions import ACTIONS
from radar_audit_events.ids import format_ms
from radar_audit_events.schema import json_schema

from radar_audit_hub.auth.principal import Principal
from radar_audit_hub.context import HUB, Hub
from radar_audit_hub.errors import NotFoundError
from radar_audit_hub.retention.policy import floors_of
from radar_audit_hub.store import query
from radar_audit_hub.store.collectors import list_gaps
from radar_audit_hub.store.facets import facets
from radar_audit_hub.store.query import StoredEvent
from radar_audit_hub.streaming import sent

from . import cursor
from .access_log import reader_of
from .answers import EventPage, facet_answer, gap_answer, json_answer
from .exports import export
from .page_turns import page_turn
from .params import ListParams, read_facets, read_include, read_list, read_nothing
from .tail import follow

MAX_GAPS = 500
_EVENT_ID = re.compile(r"^ae_[0-7][0-9A-HJKMNP-TV-Z]{25}\Z")
_NO_SUCH_EVENT = "there is no such event here, or it is older than the log reaches back"


def given(request: web.Request) -> list[tuple[str, str]]:
    """Return the URL's parameters as they stand, doubles included."""
    return list(request.query.items())


async def list_events(request: web.Request) -> web.StreamResponse:
    """Answer with a page of events, or stream the whole result in another format."""
    hub = request.app[HUB]
    caller = await reader_of(request)
    params = read_list(given(request))
    if params.format != "json":
        return await export(request, caller, params)
    async with page_turn(hub, caller):
        page = await _page(request, hub, caller, params)
        return await sent(request, page, hub.settings.write_timeout_seconds)


async def _page(
    request: web.Request, hub: Hub, caller: Principal, params: ListParams
) -> web.Response:
    now_ms = hub.now_ms()
    floor = floors_of(caller, now_ms)
    start = _position(params, caller.org_id, now_ms)
    with hub.metrics.query_seconds.labels("list").time():
        found = await query.page(
            hub.db,
            caller.org_id,
            params.filter.query(start.from_ms),
            floor,
            before=start.before or None,
            limit=params.limit,
            with_recorded_at=params.with_recorded_at,
        )
    following, headers = None, None
    if found.next_before is not None:
        position = cursor.Position(found.next_before, start.from_ms)
        following = cursor.encode(position, caller.org_id, params.filter.text)
        headers = {"Link": f'<{request.rel_url.update_query(cursor=following)}>; rel="next"'}
    answer = EventPage(found.rows, following, format_ms(floor.default_ms))
    return json_answer(answer, headers)


def _position(params: ListParams, org_id: str, now_ms: int) -> cursor.Position:
    if params.cursor is None:
        return cursor.Position("", params.filter.from_ms(now_ms))
    return cursor.decode(params.cursor, org_id, params.filter.text)


async def one_event(request: web.Request) -> web.Response:
    """Answer with one event."""
    hub = request.app[HUB]
    caller = await reader_of(request)
    recorded = read_include(given(request))
    event_id = request.match_info["event_id"]
    return json_answer(await find_event(hub, caller, event_id, recorded=recorded))


async def find_event(hub: Hub, caller: Principal, event_id: str, *, recorded: bool) -> StoredEvent:
    """Return an event of the caller's org. Raises NotFoundError for one too old or unknown."""
    if not _EVENT_ID.match(event_id):
        raise NotFoundError(_NO_SUCH_EVENT)
    with hub.metrics.query_seconds.labels("event").time():
        found = await query.get(
            hub.db,
            caller.org_id,
            event_id,
            floors_of(caller, hub.now_ms()),
            with_recorded_at=recorded,
        )
    if found is None:
        raise NotFoundError(_NO_SUCH_EVENT)
    return found


async def count_facets(request: web.Request) -> web.Response:
    """Answer with the counts of a filter by action, actor and target type."""
    hub = request.app[HUB]
    caller = await reader_of(request)
    wanted = read_facets(given(request))
    now_ms = hub.now_ms()
    asked = wanted.query(wanted.from_ms(now_ms))
    with hub.metrics.query_seconds.labels("facets").time():
        found = await facets(hub.db, caller.org_id, asked, floors_of(caller, now_ms))
    return json_answer(facet_answer(found))


async def show_gaps(request: web.Request) -> web.Response:
    """Answer with what collectors said they lost, recorded since the log reaches back."""
    hub = request.app[HUB]
    caller = await reader_of(request)
    read_nothing(given(request))
    floor_ms = floors_of(caller, hub.now_ms()).default_ms
    async with hub.db.read() as connection:
        rows = await list_gaps(connection, caller.org_id, since_ms=floor_ms, limit=MAX_GAPS)
    return json_answer(gap_answer(rows))


async def show_schema(request: web.Request) -> web.Response:
    """Answer with the JSON Schema of an action's metadata; it is public."""
    read_nothing(given(request))
    action = request.match_info["action"]
    if action not in ACTIONS:
        raise NotFoundError("there is no such action")
    return web.Response(
        body=msgspec.json.encode(json_schema(action)), content_type="application/schema+json"
    )


def routes() -> list[web.RouteDef]:
    """Return the feature's routes; fixed words come before `{event_id}`."""
    log = "/api/orgs/{org_id}/audit"
    return [
        web.get(log, list_events, allow_head=False),
        web.get(f"{log}/facets", count_facets, allow_head=False),
        web.get(f"{log}/follow", follow, allow_head=False),
        web.get(f"{log}/gaps", show_gaps, allow_head=False),
        web.get(f"{log}/{{event_id}}", one_event, allow_head=False),
        web.get("/api/schemas/audit/{action}", show_schema, allow_head=False),
    ]
