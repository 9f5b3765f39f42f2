"""The Sessions page: terminals open now and past, by cluster, namespace, pod and person.

Owns this handler. A terminal is found by its start; its end is looked up beside it. Who may read
and how old a terminal may be is decided as for the log itself. Never holds SQL.
"""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web
from radar_audit_events.query import Query, Term, Value, parse

from radar_audit_hub.audit import cursor
from radar_audit_hub.audit.access_log import note_read
from radar_audit_hub.auth.principal import LOG_READERS, Principal
from radar_audit_hub.context import HUB, Hub
from radar_audit_hub.retention.policy import Floors, floors_of
from radar_audit_hub.store import query

from .activity_pages import path_of
from .event_rows import STARTED, Row, rows_of
from .log_filter import ALL, RANGES, FilterMistakeError, LogFilter, Mistake, read
from .rendering import page
from .retention_words import retention_words
from .visits import org_visit
from .zone_cookie import zone_of

PAGE_ROWS = 50
MAX_LOOKED_AT = 1000  # starts that one page looks at: with more, it goes on behind a link
FIELDS = ("cluster", "namespace", "pod", "actor")
STATES = {"": "Open and past", "open": "Open now", "past": "Past"}


@dataclass(frozen=True, slots=True)
class _Found:
    rows: list[Row]
    next_before: str | None


async def show_sessions(request: web.Request) -> web.Response:
    """Show terminals, the last opened first."""
    visit = await org_visit(request, *LOG_READERS)
    hub, org_id = request.app[HUB], visit.caller.org_id
    given = {name: request.query.get(name, "").strip() for name in (*FIELDS, "state", "range")}
    state = given["state"] if given["state"] in STATES else ""
    mistake: Mistake | None = None
    found = LogFilter(parse(""), None)
    try:
        asked = {name: given[name] for name in FIELDS if given[name]}
        found = read({**asked, "q": "", "q0": "", "range": given["range"] or ALL}, zone_of(request))
    except FilterMistakeError as error:
        mistake = error.mistake
    await note_read(hub, visit.caller)
    now_ms = hub.now_ms()
    floors = floors_of(visit.caller, now_ms)
    text = f"sessions|{state}|{found.range_name or ''}|{found.query}"
    start = cursor.Position("", found.span(now_ms, 0)[0] if found.range_name else None)
    if request.query.get("cursor"):
        start = cursor.decode(request.query["cursor"], org_id, text)
    got = _Found([], None)
    if mistake is None:
        got = await _terminals(hub, visit.caller, found, floors, state, start)
    params = {name: value for name, value in given.items() if value}
    older = None
    if got.next_before is not None:
        position = cursor.Position(got.next_before, start.from_ms)
        older = params | {"cursor": cursor.encode(position, org_id, text)}
    return page(
        request,
        "sessions.html",
        status=200 if mistake is None else 400,
        org_id=org_id,
        path_of_activity=path_of(org_id),
        same_time=LogFilter(parse(""), found.range_name),
        in_activity=found.with_term("action", STARTED),
        rows=got.rows,
        older=older,
        is_first=not start.before,
        filtered=bool(params),
        given=given,
        state=state,
        states=STATES,
        ranges=RANGES,
        fields=FIELDS,
        now_ms=now_ms,
        mistake=mistake,
        notice=retention_words(visit.caller.plan, found, floors, now_ms),
    )


async def _terminals(
    hub: Hub,
    caller: Principal,
    found: LogFilter,
    floors: Floors,
    state: str,
    start: cursor.Position,
) -> _Found:
    """Return a page of terminals in a state; it may be short where few of many are."""
    org_id, org_name = caller.org_id, caller.org_name
    terms = (Term("action", (Value(STARTED),)), *found.query.terms)
    asked = LogFilter(Query(terms), None)
    if start.from_ms is not None:
        asked = asked.with_times(start.from_ms, None)
    rows: list[Row] = []
    before, looked_at = start.before or None, 0
    while True:
        got = await query.page(hub.db, org_id, asked.query, floors, before=before, limit=PAGE_ROWS)
        looked_at += len(got.rows)
        for row in await rows_of(hub.db, org_id, got.rows, floors, org_name=org_name):
            is_open = row.terminal is not None and row.terminal.is_open
            if not state or (state == "open") == is_open:
                rows.append(row)
            before = row.event.id
            if len(rows) == PAGE_ROWS:
                more = got.next_before is not None or row.event.id != got.rows[-1].id
                return _Found(rows, before if more else None)
        before = got.next_before
        if before is None or looked_at >= MAX_LOOKED_AT or not got.rows:
            return _Found(rows, before)


def routes() -> list[web.RouteDef]:
    """Return the page's route."""
    return [web.get("/orgs/{org_id}/sessions", show_sessions, allow_head=False)]
