"""The routes by which people see and steer the audit policy: the org's owners.

Owns the edge: the org's own document, which counts where no AuditPolicy holds the key, and what
an org owner alone may do (move a key, break the glass, agree to a release, let a cluster speak
for the org). Never edits an operator's document: that is changed in its cluster.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
from aiohttp import web
from radar_audit_events.errors import FieldError
from radar_audit_events.ids import format_ms, is_opaque_id
from radar_audit_events.policy_wire import (
    SCOPE_ORG_SETTINGS,
    OwnerDocument,
    RetentionSettings,
)

from radar_audit_hub.auth.access import require
from radar_audit_hub.auth.principal import ORG_READ_SCOPE, OWNER, Principal
from radar_audit_hub.bodies import decode_body, read_body
from radar_audit_hub.changes import Change, changing
from radar_audit_hub.clusters.guard import privileged
from radar_audit_hub.context import HUB
from radar_audit_hub.errors import ConflictError, InvalidBodyError, NotFoundError
from radar_audit_hub.json_edge import json_document, no_parameters, read_document
from radar_audit_hub.retention.in_force import HOUR_MS
from radar_audit_hub.store.control import Org, get_org
from radar_audit_hub.store.database import Connection
from radar_audit_hub.store.owners import (
    OverrideRow,
    delete_override,
    in_force,
    put_override,
)
from radar_audit_hub.store.policy_clusters import (
    cluster_names,
    get_cluster_row,
    put_cluster_row,
    set_token_scopes,
    tokens_of,
)

from .answers import Teller
from .claims import ORG_KEY, Takeover
from .differences import retention_changes
from .documents import check_retention
from .mistakes import Mistakes
from .own import OwnPolicy, own_policy, store_own
from .releasing import ACTION
from .settling import ORG_OWNER, asks_for_age, look, settle

SCOPE = "policy:write"
OVERRIDE_MS = 24 * HOUR_MS
AGREED_MS = HOUR_MS  # how long an admin's word holds that missing owners are gone
MAX_BODY_BYTES = 256 * 1024
_NO_SUCH_CLUSTER = "there is no such cluster"


class TakeoverOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST settings/takeover`: who is to hold the org's key, and who holds it now."""

    owner_id: str
    holder_id: str


class OverrideOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST settings/override`: the retention that counts for a day; null ends it."""

    retention: RetentionSettings | None


_policy = msgspec.json.Decoder(OwnPolicy)
_takeover = msgspec.json.Decoder(TakeoverOrder)
_stored = msgspec.json.Decoder(RetentionSettings)
_override = msgspec.json.Decoder(OverrideOrder)


async def show(request: web.Request) -> web.Response:
    """Answer with the org's own document, and with what is in force and through whom."""
    caller = await require(request, OWNER, scope=ORG_READ_SCOPE)
    no_parameters(request)
    return json_document(await load(request, caller))


async def load(request: web.Request, caller: Principal) -> dict[str, Any]:
    """Return the org's own document and what is in force, as the API shows it."""
    hub = request.app[HUB]
    now_ms = hub.now_ms()
    async with hub.turns.take(caller.org_id), hub.db.read() as conn:
        found = await get_org(conn, caller.org_id)
        if found is None:
            raise NotFoundError("there is no such organization")
        return await _shown(conn, found, now_ms)


async def load_own(request: web.Request, caller: Principal) -> tuple[OwnPolicy, str]:
    """Return the org's own document alone, and the revision to be named when it is saved."""
    async with request.app[HUB].db.read() as conn:
        own = await own_policy(conn, caller.org_id)
        return own, str((await in_force(conn, caller.org_id))[1])


async def _shown(conn: Connection, org: Org, now_ms: int) -> dict[str, Any]:
    settled = await look(conn, org, now_ms=now_ms)
    teller = Teller(conn, org, settled, now_ms, await cluster_names(conn, org.id))
    own = settled.documents.get(ORG_OWNER)
    return {
        "revision": str(settled.revision),
        "plan": org.plan,
        "ceiling_hours": settled.ceiling_hours,
        "policy": {
            "retention": None if own is None else own.retention,
            "notifications": None if own is None else own.notifications,
        },
        "is_in_force": ORG_KEY not in settled.holders and settled.override is None,
        "keys": await teller.keys(),
        "overrides": teller.overrides(),
        "overridden": teller.overridden(),
        "owners": [
            {
                "owner_id": name,
                "cluster_id": owner.cluster_id,
                "cluster_name": teller.names.get(owner.cluster_id or ""),
                "scope": owner.scope,
                "is_detached": owner.detached,
                "seen_at": format_ms(owner.seen_at_ms),
                "missing_since": None
                if owner.missing_since_ms is None
                else format_ms(owner.missing_since_ms),
                "holds": _holds(settled.documents[name]),
            }
            for name, owner in settled.owners.items()
        ],
    }


def _holds(document: OwnerDocument) -> list[str]:
    asked = document.retention
    return [] if asked is None else [hold.name for hold in asked.holds if not hold.released]


async def put(request: web.Request) -> web.Response:
    """Store the org's own document; the same again changes nothing."""
    hub = request.app[HUB]
    caller = await require(request, OWNER, scope=SCOPE)
    no_parameters(request)
    raw = await read_body(
        request, limit_bytes=MAX_BODY_BYTES, timeout_seconds=hub.settings.body_timeout_seconds
    )
    asked = decode_body(raw, _policy, OwnPolicy.__struct_fields__)
    return json_document(await save(request, caller, asked))


async def save(
    request: web.Request, caller: Principal, asked: OwnPolicy, *, revision: str | None = None
) -> dict[str, Any]:
    """Store the org's own document; return it and what is in force, as the API shows it.

    `revision`: only if it is still the one in force. Raises InvalidBodyError, DocumentQueryError,
    UnknownActionError, ConflictError.
    """
    async with changing(request, caller) as change:
        org, _ = await change.lock_as(caller.org_id, OWNER)
        if revision is not None and str((await in_force(change.conn, org.id))[1]) != revision:
            raise ConflictError("the settings were changed meanwhile; look again, and try anew")
        await store_own(request.app[HUB], change, org, asked)
        return await _shown(change.conn, org, change.now_ms)


async def take_over(request: web.Request) -> web.Response:
    """Give the org's key to another owner that asks for it, instead of its exact holder."""
    caller = await require(request, OWNER, scope=SCOPE)
    order = await read_document(request, _takeover)
    async with changing(request, caller) as change:
        org, _ = await change.lock_as(caller.org_id, OWNER)
        settled = await look(change.conn, org, now_ms=change.now_ms)
        holder = settled.holders.get(ORG_KEY)
        if holder is None or holder.owner_id != order.holder_id:
            who = "nobody" if holder is None else holder.owner_id
            raise ConflictError(f"the org's key is held by {who}; name exactly that holder")
        owner = settled.owners.get(order.owner_id)
        document = settled.documents.get(order.owner_id)
        if owner is None or document is None or not asks_for_age(document):
            raise ConflictError("there is no such owner that asks for an age")
        if owner.scope != "organization" or order.owner_id == ORG_OWNER:
            raise ConflictError("the owner asks for its cluster's age, not for the org's")
        if holder.owner_id != order.owner_id:
            takeover = Takeover(owner_id=order.owner_id, holder_id=order.holder_id)
            delay = 24 * HOUR_MS
            await settle(change.conn, org, now_ms=change.now_ms, delay_ms=delay, takeover=takeover)
            _note(change, org, "takeover", {"holder": [order.holder_id, order.owner_id]})
        answer = await _shown(change.conn, org, change.now_ms)
    return json_document(answer)


async def override(request: web.Request) -> web.Response:
    """Let a retention of the org owner's count for 24 hours instead of all documents, or end it."""
    caller = await require(request, OWNER, scope=SCOPE)
    order = await read_document(request, _override)
    return json_document(await set_override(request, caller, order))


async def set_override(
    request: web.Request, caller: Principal, order: OverrideOrder
) -> dict[str, Any]:
    """Begin or end an override; return what is in force after it. Raises InvalidBodyError."""
    if order.retention is not None:
        _refuse_override(order.retention)
    async with changing(request, caller) as change:
        org, _ = await change.lock_as(caller.org_id, OWNER)
        settled = await look(change.conn, org, now_ms=change.now_ms)
        before = settled.override
        after = None
        if order.retention is None:
            # One whose day is over is the job's to end: something follows from it.
            if before is not None:
                await delete_override(change.conn, org.id)
        else:
            text = msgspec.json.encode(order.retention).decode()
            after = OverrideRow(
                retention=text, set_by=caller.email, until_ms=change.now_ms + OVERRIDE_MS
            )
            await put_override(change.conn, org.id, after)
        if before is not None or after is not None:
            await settle(change.conn, org, now_ms=change.now_ms, delay_ms=_override_delay(order))
            _note(change, org, "override", _override_changes(before, after))
        return await _shown(change.conn, org, change.now_ms)


def _refuse_override(asked: RetentionSettings) -> None:
    found = Mistakes()
    check_retention(found, asked, "organization")
    errors = [*found.invalid, *found.queries, *found.actions]
    if asked.holds:
        errors.append(FieldError("retention.holds", "belong into the org's own document"))
    if errors:
        raise InvalidBodyError(errors)


def _override_delay(order: OverrideOrder) -> int:
    hours = 24 if order.retention is None else order.retention.shrink_delay_hours
    return hours * HOUR_MS


def _override_changes(before: OverrideRow | None, after: OverrideRow | None) -> dict[str, Any]:
    old, new = (None if row is None else _stored.decode(row.retention) for row in (before, after))
    return {"until": [_until(before), _until(after)], **retention_changes(old, new)}


def _until(row: OverrideRow | None) -> str | None:
    return None if row is None else format_ms(row.until_ms)


async def agree(request: web.Request) -> web.Response:
    """Agree that a cluster's missing owners are gone: its next complete lists release them."""
    async with privileged(request, "cluster.release_policies", OWNER, scope=SCOPE) as caller:
        no_parameters(request)
        cluster_id = _cluster_id(request)
        async with changing(request, caller) as change:
            org, _ = await change.lock_as(caller.org_id, OWNER)
            until_ms = await _agree(change, org, cluster_id)
    return json_document({"cluster_id": cluster_id, "agreed_until": format_ms(until_ms)})


async def _agree(change: Change, org: Org, cluster_id: str) -> int:
    heard = await get_cluster_row(change.conn, org.id, cluster_id)
    if heard is None:
        raise NotFoundError("no operator of such a cluster was ever heard of")
    if heard.blocked_since_ms is None:
        raise ConflictError("no release of this cluster's owners is blocked")
    until_ms = change.now_ms + AGREED_MS
    await put_cluster_row(change.conn, org.id, replace(heard, release_agreed_until_ms=until_ms))
    _note(change, org, "release_agreed", {f"clusters.{cluster_id}": [None, "agreed"]})
    return until_ms


async def grant(request: web.Request) -> web.Response:
    """Let a cluster's tokens write the org's own key, from the next request on."""
    return await _grant(request, is_given=True)


async def ungrant(request: web.Request) -> web.Response:
    """Let a cluster's tokens write the org's own key no longer."""
    return await _grant(request, is_given=False)


async def _grant(request: web.Request, *, is_given: bool) -> web.Response:
    async with privileged(request, "cluster.grant_org_settings", OWNER, scope=SCOPE) as caller:
        no_parameters(request)
        cluster_id = _cluster_id(request)
        async with changing(request, caller) as change:
            org, _ = await change.lock_as(caller.org_id, OWNER)
            tokens = await tokens_of(change.conn, org.id, cluster_id)
            if not tokens:
                raise NotFoundError(_NO_SUCH_CLUSTER)
            if await _set_grant(change, tokens, is_given=is_given):
                _note(change, org, "grant", {f"clusters.{cluster_id}": [not is_given, is_given]})
    return json_document({"cluster_id": cluster_id, "may_write_org_settings": is_given})


async def _set_grant(change: Change, tokens: Mapping[bytes, str], *, is_given: bool) -> bool:
    """Give the tokens the org's scope, or take it away; tell whether that changed one."""
    changed = False
    for token_hash, text in tokens.items():
        scopes = [scope for scope in json.loads(text) if scope != SCOPE_ORG_SETTINGS]
        wanted = [*scopes, SCOPE_ORG_SETTINGS] if is_given else scopes
        if sorted(wanted) != sorted(json.loads(text)):
            await set_token_scopes(change.conn, token_hash, json.dumps(wanted))
            changed = True
    return changed


def _cluster_id(request: web.Request) -> str:
    """Return the cluster that the path names. Raises NotFoundError for what can be none."""
    cluster_id = request.match_info["cluster_id"]
    if not is_opaque_id("cl", cluster_id):
        raise NotFoundError(_NO_SUCH_CLUSTER)
    return cluster_id


def _note(change: Change, org: Org, kind: str, told: dict[str, Any]) -> None:
    change.note(org.id, ACTION, org.id, {"kind": kind, "changes": told})
