"""The routes of destinations: list, create, show, change, delete, and enable again.

Owns the edge. Creating and changing edit the org's own document; a destination of an AuditPolicy
is changed in its cluster, and is only shown, tested and enabled here. What was delivered is in
`log_handlers.py`. Never shows a secret.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import msgspec
from aiohttp import web
from radar_audit_events.policy_wire import Destination, NotificationSettings

from radar_audit_hub.auth.access import require
from radar_audit_hub.auth.principal import ORG_READ_SCOPE, OWNER, Principal
from radar_audit_hub.changes import Change, changing
from radar_audit_hub.context import HUB, Hub
from radar_audit_hub.declarations import declare
from radar_audit_hub.errors import ConflictError, UnavailableError
from radar_audit_hub.json_edge import json_document, no_parameters, read_document
from radar_audit_hub.listing import cut, read_only_page
from radar_audit_hub.policy.own import OwnPolicy, own_policy, store_own
from radar_audit_hub.policy.releasing import ACTION
from radar_audit_hub.policy.secret_parts import Secret
from radar_audit_hub.policy.settling import ORG_OWNER
from radar_audit_hub.policy.settling import read_document as read_owner
from radar_audit_hub.policy.storing import opened
from radar_audit_hub.store.control import Org
from radar_audit_hub.store.database import Connection
from radar_audit_hub.store.notify_destinations import (
    DestinationRow,
    destination_named,
    enable_destination,
    page_destinations,
    pending_counts,
)
from radar_audit_hub.store.owners import get_owner

from . import log_handlers, shown
from .naming import named
from .rotation import PARTS
from .rules import DestinationChange, refuse_mistakes, with_changed, with_new, without

SCOPE = "policy:write"
PATH = "/api/orgs/{org_id}/destinations"
_new = msgspec.json.Decoder(Destination)
_change = msgspec.json.Decoder(DestinationChange)


async def list_destinations(request: web.Request) -> web.Response:
    """Answer with a page of all owners' destinations, by owner and name."""
    caller = await require(request, OWNER, scope=ORG_READ_SCOPE)
    return json_document(await listed(request, caller))


async def listed(request: web.Request, caller: Principal) -> dict[str, Any]:
    """Return the page of destinations that the address asks for, as the API shows it."""
    list_name = f"destinations:{caller.org_id}"
    asked = read_only_page(list(request.query.items()), list_name, (str, str))
    after = None if asked.after is None else (str(asked.after[0]), str(asked.after[1]))
    hub = request.app[HUB]
    async with hub.turns.take(caller.org_id), hub.db.read() as conn:
        rows = await page_destinations(conn, caller.org_id, after=after, limit=asked.limit + 1)
        page, following = cut(rows, asked, list_name, lambda row: (row.owner_id, row.name))
        answer = await _shown(conn, caller.org_id, page)
    return {"destinations": answer, "next_cursor": following}


async def show_destination(request: web.Request) -> web.Response:
    """Answer with one destination."""
    caller = await require(request, OWNER, scope=ORG_READ_SCOPE)
    no_parameters(request)
    return json_document(await load(request, caller))


async def load(request: web.Request, caller: Principal) -> dict[str, Any]:
    """Return the destination that the path names, as the API shows it. Raises NotFoundError."""
    async with request.app[HUB].db.read() as conn:
        row = await named(conn, request)
        answer = await _shown(conn, caller.org_id, [row])
    return answer[0]


async def create_destination(request: web.Request) -> web.Response:
    """Add a destination to the org's own document."""
    caller = await require(request, OWNER, scope=SCOPE)
    asked = await read_document(request, _new)
    return json_document(await create(request, caller, asked), status=201)


async def create(request: web.Request, caller: Principal, asked: Destination) -> dict[str, Any]:
    """Add a destination; return it as the API shows it.

    Raises InvalidBodyError, ConflictError, UnavailableError.
    """
    refuse_mistakes(asked)
    async with changing(request, caller) as change:
        org, _ = await change.lock_as(caller.org_id, OWNER)
        own = await own_policy(change.conn, org.id)
        alerts = with_new(own.notifications, asked)
        return await _stored(request, change, org, own, alerts, asked.name)


async def change_destination(request: web.Request) -> web.Response:
    """Change a destination of the org's own document; what is left out stays."""
    caller = await require(request, OWNER, scope=SCOPE)
    asked = await read_document(request, _change)
    return json_document(await edit(request, caller, asked))


async def edit(request: web.Request, caller: Principal, asked: DestinationChange) -> dict[str, Any]:
    """Change the destination that the path names; return it as the API shows it.

    Raises NotFoundError, InvalidBodyError, ConflictError, UnavailableError.
    """
    async with changing(request, caller) as change:
        org, _ = await change.lock_as(caller.org_id, OWNER)
        row = await _own(change, request)
        own = await own_policy(change.conn, org.id)
        secret = await _secret(request.app[HUB], change.conn, row)
        alerts = with_changed(own.notifications, row.name, asked, secret)
        return await _stored(request, change, org, own, alerts, row.name)


async def signing_parts(request: web.Request) -> frozenset[str]:
    """Return which of `rotation.PARTS` the destination that the path names is signed with.

    Empty where the hub cannot open them. Who asks must be known to be an owner. Raises
    NotFoundError.
    """
    hub = request.app[HUB]
    async with hub.db.read() as conn:
        try:
            secret = await _secret(hub, conn, await named(conn, request))
        except UnavailableError:
            return frozenset()
    return frozenset(name for name in PARTS if getattr(secret, name) is not None)


async def _secret(hub: Hub, conn: Connection, row: DestinationRow) -> Secret:
    """Return a destination's secret. Raises UnavailableError."""
    owner = await get_owner(conn, row.org_id, row.owner_id)
    return Secret() if owner is None else opened(hub.sealer, owner).get(row.name, Secret())


async def delete_destination(request: web.Request) -> web.Response:
    """Take a destination out of the org's own document; its messages that wait are dropped."""
    caller = await require(request, OWNER, scope=SCOPE)
    no_parameters(request)
    await remove(request, caller)
    return web.Response(status=204)


async def remove(request: web.Request, caller: Principal) -> None:
    """Take out the destination that the path names. Raises NotFoundError, ConflictError."""
    async with changing(request, caller) as change:
        org, _ = await change.lock_as(caller.org_id, OWNER)
        row = await _own(change, request)
        own = await own_policy(change.conn, org.id)
        alerts = without(own.notifications, row.name)
        await store_own(
            request.app[HUB], change, org, msgspec.structs.replace(own, notifications=alerts)
        )


async def enable(request: web.Request) -> web.Response:
    """Let a destination be sent to again, whoever's it is; one that is not disabled: nothing."""
    caller = await require(request, OWNER, scope=SCOPE)
    no_parameters(request)
    return json_document(await enabled(request, caller))


async def enabled(request: web.Request, caller: Principal) -> dict[str, Any]:
    """Enable the destination that the path names; return it. Raises NotFoundError."""
    async with changing(request, caller) as change:
        org, _ = await change.lock_as(caller.org_id, OWNER)
        row = await named(change.conn, request)
        if await enable_destination(change.conn, org.id, row.id):
            told = {f"notifications.destinations.{row.name}.state": ["disabled", "enabled"]}
            change.note(
                org.id,
                ACTION,
                org.id,
                {"kind": "destination_enabled", "owner": row.owner_id, "changes": told},
            )
        answer = await _shown(change.conn, org.id, [await named(change.conn, request)])
    return answer[0]


async def _own(change: Change, request: web.Request) -> DestinationRow:
    """Return the same, if it may be changed here. Raises NotFoundError, ConflictError."""
    row = await named(change.conn, request)
    if row.owner_id != ORG_OWNER:
        _refuse_foreign(row)
    return row


def _refuse_foreign(row: DestinationRow) -> NoReturn:
    raise ConflictError(
        f"this destination stands in the document of {row.owner_id}; change the AuditPolicy there"
    )


async def _stored(
    request: web.Request,
    change: Change,
    org: Org,
    own: OwnPolicy,
    alerts: NotificationSettings,
    name: str,
) -> dict[str, Any]:
    hub = request.app[HUB]
    await store_own(hub, change, org, msgspec.structs.replace(own, notifications=alerts))
    row = await destination_named(change.conn, org.id, ORG_OWNER, name)
    assert row is not None
    return (await _shown(change.conn, org.id, [row]))[0]


async def _shown(
    conn: Connection, org_id: str, rows: Sequence[DestinationRow]
) -> list[dict[str, Any]]:
    pending = await pending_counts(conn, org_id, [row.id for row in rows])
    targets: dict[str, Mapping[str, Destination]] = {}
    for owner_id in {row.owner_id for row in rows}:
        owner = await get_owner(conn, org_id, owner_id)
        asked = None if owner is None else read_owner(owner).notifications
        targets[owner_id] = {one.name: one for one in asked.destinations} if asked else {}
    return [
        shown.destination(row, targets[row.owner_id][row.name], pending.get(row.id, 0))
        for row in rows
        if row.name in targets[row.owner_id]
    ]


def routes() -> list[web.RouteDef]:
    """Return the feature's routes."""
    one = f"{PATH}/{{destination_id}}"
    events = (ACTION,)
    return [
        web.get(PATH, list_destinations, allow_head=False),
        declare(web.post(PATH, create_destination), events=events),
        web.get(one, show_destination, allow_head=False),
        declare(web.patch(one, change_destination), events=events),
        declare(web.delete(one, delete_destination), events=events),
        declare(web.post(f"{one}/enable", enable), events=events),
        *log_handlers.routes(one),
    ]
