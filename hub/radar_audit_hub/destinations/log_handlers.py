"""The routes of what is delivered to a destination: the messages, a test, a replay.

Owns the edge. A message tells of events of the log, so that who reads these may read the log, too,
and has read it; and one of them that has expired is shown by no message any more. Called by
`handlers.py` for the routes.
"""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web
from radar_audit_events.errors import TimeError
from radar_audit_events.ids import parse_ms
from radar_audit_events.policy_answers import DestinationTestAnswer

from radar_audit_hub.audit.access_log import note_read
from radar_audit_hub.audit.parameters import Reader
from radar_audit_hub.auth.access import require
from radar_audit_hub.auth.principal import OWNER, Principal
from radar_audit_hub.changes import changing
from radar_audit_hub.context import HUB
from radar_audit_hub.declarations import declare
from radar_audit_hub.errors import NotFoundError
from radar_audit_hub.json_edge import json_document, no_parameters, read_document
from radar_audit_hub.listing import PARAMETERS, cut, read_page
from radar_audit_hub.policy.releasing import ACTION
from radar_audit_hub.retention.policy import Floors, floors_of
from radar_audit_hub.store.database import Connection
from radar_audit_hub.store.notify_attempts import attempts_of
from radar_audit_hub.store.notify_destinations import DestinationRow
from radar_audit_hub.store.notify_messages import Message, get_message, list_messages

from . import asking, shown
from .asking import ReplayOrder
from .naming import named

SCOPE, CHANGING_SCOPE = "audit:read", "policy:write"
STATES = ("pending", "delivered", "failed", "dropped")
_order = msgspec.json.Decoder(ReplayOrder)
_NO_SUCH = "there is no such delivery"


async def list_deliveries(request: web.Request) -> web.Response:
    """Answer with a page of a destination's messages, newest first, each with its attempts."""
    caller = await require(request, OWNER, scope=SCOPE)
    return json_document(await listed(request, caller))


async def listed(request: web.Request, caller: Principal) -> dict[str, Any]:
    """Return the page of deliveries that the address asks for, as the API shows it."""
    reader = Reader(list(request.query.items()), (*PARAMETERS, "state", "from", "to"))
    states = reader.many("state")
    if not set(states) <= set(STATES):
        reader.refuse("state", f"must be among {', '.join(STATES)}")
    from_ms, to_ms = reader.parsed("from", _time), reader.parsed("to", _time)
    destination_id = request.match_info["destination_id"]
    list_name = f"deliveries:{caller.org_id}:{destination_id}:{','.join(states)}:{from_ms}:{to_ms}"
    asked = read_page(reader, list_name, (int, str))
    after = None if asked.after is None else (int(asked.after[0]), str(asked.after[1]))
    hub = request.app[HUB]
    floors = floors_of(caller, hub.now_ms())
    # What a page of them tells is megabytes: one of an org's at a time.
    async with hub.turns.take(caller.org_id), hub.db.read() as conn:
        row = await named(conn, request)
        rows = await list_messages(
            conn,
            caller.org_id,
            row.id,
            floors=floors,
            states=states,
            from_ms=from_ms,
            to_ms=to_ms,
            after=after,
            limit=asked.limit + 1,
        )
        page, following = cut(rows, asked, list_name, lambda one: (one.created_at, one.id))
        ids = [one.id for one in page]
        attempts = await attempts_of(conn, caller.org_id, ids, with_wire=False)
    await note_read(hub, caller)
    answer = [shown.delivery(one, attempts[one.id]) for one in page]
    return {"deliveries": answer, "next_cursor": following}


async def show_delivery(request: web.Request) -> web.Response:
    """Answer with one message: what it tells, and what was sent and answered."""
    caller = await require(request, OWNER, scope=SCOPE)
    no_parameters(request)
    return json_document(await load(request, caller))


async def load(request: web.Request, caller: Principal) -> dict[str, Any]:
    """Return the message that the path names, with all attempts. Raises NotFoundError."""
    floors = floors_of(caller, request.app[HUB].now_ms())
    async with request.app[HUB].db.read() as conn:
        found = await delivery(conn, request, await named(conn, request), floors)
        attempts = await attempts_of(conn, caller.org_id, [found.id], with_wire=True)
    await note_read(request.app[HUB], caller)
    return shown.whole_delivery(found, attempts[found.id])


async def delivery(
    conn: Connection, request: web.Request, row: DestinationRow, floors: Floors
) -> Message:
    """Return the destination's message that the path names. Raises NotFoundError."""
    message_id = request.match_info["message_id"]
    known = message_id.startswith("msg_") and message_id[4:].isalnum() and message_id.isascii()
    found = await get_message(conn, row.org_id, message_id, floors) if known else None
    if found is None or found.destination_id != row.id:
        raise NotFoundError(_NO_SUCH)
    return found


async def test_destination(request: web.Request) -> web.Response:
    """Send a test to a destination, whoever's it is, and answer with how that went."""
    caller = await require(request, OWNER, scope=CHANGING_SCOPE)
    no_parameters(request)
    return json_document(await test(request, caller))


async def test(request: web.Request, caller: Principal) -> DestinationTestAnswer:
    """Send a test to the destination that the path names and return how that went.

    Raises NotFoundError, TooManyRequestsError, UnavailableError.
    """
    hub = request.app[HUB]
    async with changing(request, caller) as change:
        await change.lock_as(caller.org_id, OWNER)
        row = await named(change.conn, request)
        await asking.take_turn(hub, change.conn, row.id)
    return await asking.test(hub, caller.org_id, row.id)


async def replay_deliveries(request: web.Request) -> web.Response:
    """Have messages delivered again: one, or those of a range of times."""
    caller = await require(request, OWNER, scope=CHANGING_SCOPE)
    asked = await read_document(request, _order)
    return json_document({"replayed": await replay(request, caller, asked)})


async def replay(request: web.Request, caller: Principal, asked: ReplayOrder) -> int:
    """Have messages of the destination that the path names delivered again; return how many.

    Raises NotFoundError, InvalidBodyError, ConflictError.
    """
    hub = request.app[HUB]
    async with changing(request, caller) as change:
        org, _ = await change.lock_as(caller.org_id, OWNER)
        row = await named(change.conn, request)
        count = await asking.again(hub, change, org.id, row.id, asked)
        if count:
            told = {f"notifications.destinations.{row.name}.replayed": [None, count]}
            facts = {"kind": "destination_replayed", "owner": row.owner_id, "changes": told}
            change.note(org.id, ACTION, org.id, facts)
    hub.deliveries.wake()
    return count


def _time(text: str) -> int:
    try:
        return parse_ms(text)
    except TimeError as error:
        raise ValueError(str(error)) from None


def routes(one: str) -> list[web.RouteDef]:
    """Return the routes below a destination's path."""
    log = f"{one}/deliveries"
    return [
        web.get(log, list_deliveries, allow_head=False),
        web.get(f"{log}/{{message_id}}", show_delivery, allow_head=False),
        declare(web.post(f"{one}/test", test_destination), events=None, reason=asking.NO_CHANGE),
        declare(web.post(f"{one}/replay", replay_deliveries), events=(ACTION,)),
    ]
