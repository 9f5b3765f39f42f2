"""`POST /api/orgs/{org_id}/audit/events`: another control plane records actions of its own.

Owns the edge and the order of the work: who, body, decode, judge, write, answer. What may be
recorded is decided in `rules.py`. A key that is stored already is either the same event, then it
is a duplicate, or another, then it is rejected: nothing is overwritten and nothing is doubled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from aiohttp import web
from radar_audit_events.codec import SALT_BYTES
from radar_audit_events.errors import FieldError
from radar_audit_events.wire import MAX_BATCH_BYTES

from radar_audit_hub.auth.access import require
from radar_audit_hub.auth.principal import OWNER, Principal
from radar_audit_hub.bodies import decode_body, named_field, read_body
from radar_audit_hub.changes import changing
from radar_audit_hub.context import HUB, Hub
from radar_audit_hub.declarations import declare
from radar_audit_hub.errors import ForbiddenError, InvalidBodyError
from radar_audit_hub.ingest.handlers import INGEST
from radar_audit_hub.ingest.prepare import PreparedEvent, prepare
from radar_audit_hub.json_edge import json_document, no_parameters
from radar_audit_hub.retention.policy import floors_of
from radar_audit_hub.store.control import people_of_org
from radar_audit_hub.store.facts import StoredFact, stored_facts
from radar_audit_hub.store.head import lock_head
from radar_audit_hub.store.log import append

from .rules import (
    ALLOWED,
    ExternalEvent,
    Person,
    Recorder,
    Result,
    Taken,
    actor_name,
    judge,
    rejected,
)

SCOPE = "audit:write"
MAX_EVENTS = 500
MAX_EVENT_BYTES = 64 * 1024  # metadata is 16 KiB at most in canonical form
_MAX_COMMAS = 200 * MAX_EVENTS  # millions of tiny values would take thirty times their bytes
_REUSED = "key names another event already; a key stands for one event for ever"
Fact = tuple[str, str, str, int, object, str | None, str | None]


class Envelope(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body, its events not yet decoded: a wrong one spoils no other."""

    events: list[msgspec.Raw]


_envelope = msgspec.json.Decoder(Envelope)
_event = msgspec.json.Decoder(ExternalEvent)


async def record_events(request: web.Request) -> web.Response:
    """Store the events and answer with the fate of each, in order."""
    hub = request.app[HUB]
    caller = await require(request, OWNER, scope=SCOPE)
    if caller.pat_name is None:
        raise ForbiddenError("this needs a personal access token, not a session", (OWNER,), SCOPE)
    no_parameters(request)
    with request.app[INGEST].admission.enter(caller.org_id) as ticket:
        body = await read_body(
            request,
            limit_bytes=MAX_BATCH_BYTES,
            timeout_seconds=hub.settings.body_timeout_seconds,
            hold=ticket.hold,
        )
        results = await _store(request, caller, caller.pat_name, _read(body))
    return json_document({"results": results})


def _read(body: bytes) -> list[ExternalEvent | Result]:
    if body.count(b",") > _MAX_COMMAS:
        raise InvalidBodyError([FieldError("events", "hold far more values than events can have")])
    raws = decode_body(body, _envelope, Envelope.__struct_fields__).events
    if not 1 <= len(raws) <= MAX_EVENTS:
        raise InvalidBodyError([FieldError("events", f"must hold 1 to {MAX_EVENTS} events")])
    return [_read_event(raw) for raw in raws]


def _read_event(raw: msgspec.Raw) -> ExternalEvent | Result:
    data = memoryview(raw)
    if len(data) > MAX_EVENT_BYTES:
        return rejected([FieldError("event", f"must be at most {MAX_EVENT_BYTES} bytes of JSON")])
    try:
        return _event.decode(data)
    except msgspec.ValidationError as error:
        return rejected([named_field(error, ExternalEvent.__struct_fields__)])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return rejected([FieldError("event", "must be a JSON object in UTF-8")])


async def _store(
    request: web.Request,
    caller: Principal,
    pat_name: str,
    events: Sequence[ExternalEvent | Result],
) -> list[Result]:
    hub = request.app[HUB]
    now_ms = hub.now_ms()
    recorder = Recorder(
        org_id=caller.org_id, pat_name=pat_name, now_ms=now_ms, floors=floors_of(caller, now_ms)
    )
    people = await _people(hub, caller.org_id, events)
    judged = [
        event if isinstance(event, Result) else judge(event, recorder, people) for event in events
    ]
    taken = [one for one in judged if isinstance(one, Taken)]
    salts = hub.random_bytes(SALT_BYTES * len(taken))
    rows = [
        prepare(one.event, salts[at * SALT_BYTES : (at + 1) * SALT_BYTES], one.source_key)
        for at, one in enumerate(taken)
    ]
    fates = iter(await _append(request, caller, rows))
    return [one if isinstance(one, Result) else next(fates) for one in judged]


async def _people(
    hub: Hub, org_id: str, events: Sequence[ExternalEvent | Result]
) -> Mapping[str, Person]:
    named = [actor_name(event) for event in events if isinstance(event, ExternalEvent)]
    async with hub.db.read() as conn:
        return await people_of_org(conn, org_id, [name for name in named if name])


async def _append(
    request: web.Request, caller: Principal, rows: Sequence[PreparedEvent]
) -> list[Result]:
    """Store what is new in one transaction; under the head's lock nobody else can be first.

    The body may have taken its time: whether the caller still may is asked again.
    """
    if not rows:
        return []
    hub, org_id = request.app[HUB], caller.org_id
    fresh: dict[bytes, PreparedEvent] = {}
    results: list[Result] = []
    async with changing(request, caller) as change:
        conn = change.conn
        await change.lock_as(org_id, OWNER)
        await lock_head(conn, org_id)
        stored = await stored_facts(conn, org_id, [_key(row) for row in rows])
        known = {key: _fact(fact) for key, fact in stored.items()}
        for row in rows:
            before = known.setdefault(_key(row), _fact(row))
            if before != _fact(row):
                results.append(Result(result="rejected", code="key_reused", message=_REUSED))
            elif _key(row) in stored or _key(row) in fresh:
                results.append(Result(result="duplicate", id=row.id))
            else:
                fresh[_key(row)] = row
                results.append(Result(result="accepted", id=row.id))
        await append(conn, org_id, list(fresh.values()), hub.now_ms())
    if fresh:
        hub.signal.notify(org_id)
    return results


def _key(row: PreparedEvent) -> bytes:
    assert row.source_key is not None  # made of the event's own key
    return row.source_key


def _fact(of: PreparedEvent | StoredFact) -> Fact:
    return (
        of.id,
        of.action,
        of.target_id,
        of.created_at_ms,
        _without_token(of.metadata),
        of.actor_user_id,
        of.actor_email,
    )


def _without_token(metadata: str) -> object:
    """Return metadata but for the token: the repeat may be sent with another one."""
    read = msgspec.json.decode(metadata)
    read.pop("via_pat", None)
    return read


def routes() -> list[web.RouteDef]:
    """Return the feature's routes."""
    route = web.post("/api/orgs/{org_id}/audit/events", record_events)
    return [declare(route, events=ALLOWED)]
