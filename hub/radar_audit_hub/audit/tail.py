"""Following the log in commit order: the long poll and the server-sent live tail.

Owns both streams' loops. Called as the route `…/audit/follow`. Neither skips: the
log's own sequence is the only position. Whoever loses the right to read loses the
stream within RECHECK_SECONDS, and no event is sent after the check that fails.
"""

from __future__ import annotations

import asyncio
import re

from aiohttp import web
from radar_audit_events.errors import FieldError

from radar_audit_hub.auth.access import RECHECK_SECONDS, require
from radar_audit_hub.auth.principal import LOG_READERS, READ_SCOPE, Principal
from radar_audit_hub.context import HUB, Hub
from radar_audit_hub.errors import HubError, InvalidParametersError
from radar_audit_hub.http_errors import problem
from radar_audit_hub.retention.policy import floors_of
from radar_audit_hub.store import query
from radar_audit_hub.store.query import Followed, StoredEvent
from radar_audit_hub.streaming import PatientWriter, is_gone, sent

from .access_log import reader_of
from .answers import encode_event, lines_answer
from .page_turns import page_turn
from .params import MAX_SEQ, FollowParams, read_follow

KEEP_ALIVE_SECONDS = 15.0
EVENT_STREAM = "text/event-stream"
_LAST_EVENT_ID = "Last-Event-ID"
_SEQ = re.compile(r"^(-1|\d{1,18})\Z", re.ASCII)
_RECONNECT = b"retry: 2000\n\n"
_KEEP_ALIVE = b": keep-alive\n\n"


async def follow(request: web.Request) -> web.StreamResponse:
    """Answer with the next events after a seq, now or as soon as there are some."""
    caller = await reader_of(request)
    params = read_follow(list(request.query.items()))
    last_seen = _last_event_id(request)
    with request.app[HUB].followers.take(caller.org_id):
        if EVENT_STREAM in request.headers.get("Accept", ""):
            # What the client saw last wins over where it once began.
            start = params.after_seq if last_seen is None else last_seen
            return await _tail(request, caller, params, start)
        return await _long_poll(request, caller, params)


async def _allowed(request: web.Request) -> Principal:
    return await require(request, *LOG_READERS, scope=READ_SCOPE)


async def _read(hub: Hub, caller: Principal, params: FollowParams, after_seq: int) -> Followed:
    now_ms = hub.now_ms()
    asked = params.filter.query(params.filter.from_ms(now_ms))
    floor = floors_of(caller, now_ms)
    with hub.metrics.query_seconds.labels("follow").time():
        return await query.follow(
            hub.db, caller.org_id, asked, floor, after_seq=after_seq, limit=params.limit
        )


async def _long_poll(
    request: web.Request, caller: Principal, params: FollowParams
) -> web.StreamResponse:
    hub, loop = request.app[HUB], asyncio.get_running_loop()
    after = params.after_seq
    checked = loop.time()
    deadline = checked + params.wait_seconds
    while True:
        async with page_turn(hub, caller):
            if loop.time() - checked >= RECHECK_SECONDS:
                caller, checked = await _allowed(request), loop.time()
            found = await _read(hub, caller, params, after)
            left = deadline - loop.time()
            if found.rows or left <= 0 or hub.signal.stopped or is_gone(request):
                link = request.rel_url.update_query(after_seq=str(found.read_to_seq))
                answer = lines_answer(found.rows, {"Link": f'<{link}>; rel="next"'})
                return await sent(request, answer, hub.settings.write_timeout_seconds)
        if found.read_to_seq > after:  # a stretch without a match: read on at once
            after = found.read_to_seq
        else:
            due = min(deadline, checked + RECHECK_SECONDS)
            await hub.signal.wait_past(caller.org_id, after, max(0.0, due - loop.time()))


async def _tail(
    request: web.Request, caller: Principal, params: FollowParams, after: int
) -> web.StreamResponse:
    response = web.StreamResponse()
    response.headers["Content-Type"] = EVENT_STREAM
    response.headers["X-Accel-Buffering"] = "no"  # nginx would hold events back
    await response.prepare(request)
    hub = request.app[HUB]
    writer = PatientWriter(response, hub.settings.write_timeout_seconds)
    await writer.write(_RECONNECT)
    try:
        await _stream(request, caller, params, writer, after)
    except HubError as error:
        # The right to read is gone: say so and end; a client that comes back gets the status.
        await writer.write(b"event: end\ndata: " + problem(error).code.encode() + b"\n\n")
    return response


async def _stream(
    request: web.Request,
    caller: Principal,
    params: FollowParams,
    writer: PatientWriter,
    after: int,
) -> None:
    hub, loop = request.app[HUB], asyncio.get_running_loop()
    checked = written = loop.time()
    while not hub.signal.stopped and not is_gone(request):
        async with page_turn(hub, caller):
            if loop.time() - checked >= RECHECK_SECONDS:
                caller, checked = await _allowed(request), loop.time()
            found = await _read(hub, caller, params, after)
            if found.rows:
                await writer.write(b"".join(map(_frame, found.rows)))
                written = loop.time()
        if not found.rows and found.read_to_seq == after:
            due = min(checked + RECHECK_SECONDS, written + KEEP_ALIVE_SECONDS)
            await hub.signal.wait_past(caller.org_id, after, max(0.0, due - loop.time()))
        after = found.read_to_seq
        if loop.time() - written >= KEEP_ALIVE_SECONDS:
            await writer.write(_KEEP_ALIVE)
            written = loop.time()


def _frame(row: StoredEvent) -> bytes:
    return b"id: %d\nevent: audit\ndata: %b\n\n" % (row.seq, encode_event(row))


def _last_event_id(request: web.Request) -> int | None:
    last = request.headers.get(_LAST_EVENT_ID)
    if last is None:
        return None
    if not _SEQ.match(last) or int(last) > MAX_SEQ:
        message = "must be the id of the last event received: a whole number"
        raise InvalidParametersError([FieldError(_LAST_EVENT_ID, message)])
    return int(last)
