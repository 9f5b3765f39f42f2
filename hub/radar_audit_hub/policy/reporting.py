"""The operator's routes about its whole cluster: what is in force, and who is alive.

Owns the edge of `GET settings` and `POST operator-heartbeat`. The heartbeat names all owners that
exist, so that one whose deletion nobody saw is released all the same, and tells the operator in
one answer whatever the number of its policies is. Never releases by an incomplete list.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec
from aiohttp import web
from radar_audit_events.errors import FieldError
from radar_audit_events.ids import format_ms
from radar_audit_events.policy_answers import (
    OperatorHeartbeatAnswer,
    OwnerState,
    ReleaseBlocked,
    SettingsAnswer,
)
from radar_audit_events.policy_wire import (
    MAX_HEARTBEAT_BYTES,
    MAX_OWNERS,
    SCOPE_SETTINGS,
    LiveOwner,
    OperatorHeartbeat,
)

from radar_audit_hub.auth.access import require_cluster
from radar_audit_hub.auth.principal import ClusterPrincipal
from radar_audit_hub.bodies import decode_body, read_body
from radar_audit_hub.changes import Change, changing
from radar_audit_hub.clusters.agents import is_pending
from radar_audit_hub.context import HUB
from radar_audit_hub.errors import InvalidBodyError
from radar_audit_hub.json_edge import json_document, no_parameters
from radar_audit_hub.store.clusters import get_upgrades
from radar_audit_hub.store.control import Org, get_org
from radar_audit_hub.store.database import Connection
from radar_audit_hub.store.owners import (
    Owner,
    mark_missing,
    mark_seen,
)
from radar_audit_hub.store.policy_clusters import (
    ClusterRow,
    cluster_names,
    collectors_of,
    get_cluster_row,
    note_released,
    put_cluster_row,
    take_released,
)

from .agent import check_still_good
from .answers import Teller, etag
from .capture import capture_of, collector_states
from .claims import Census, Known, census
from .releasing import release
from .settling import Settled, look, read_document

MAX_VERSION_CHARS = 100
_decoder = msgspec.json.Decoder(OperatorHeartbeat)
_FIELDS = (*OperatorHeartbeat.__struct_fields__, *LiveOwner.__struct_fields__)


async def settings(request: web.Request) -> web.Response:
    """Answer with what is in force for the token's cluster; 304 where the caller has it."""
    hub = request.app[HUB]
    caller = await require_cluster(request, SCOPE_SETTINGS)
    no_parameters(request)
    now_ms = hub.now_ms()
    async with hub.turns.take(caller.org_id), hub.db.read() as conn:
        org = await _org(conn, caller)
        settled = await look(conn, org, now_ms=now_ms)
        teller = Teller(conn, org, settled, now_ms, await cluster_names(conn, org.id))
        capture = await capture_of(conn, org.id, caller.cluster_id, now_ms)
        answer = SettingsAnswer(
            revision=str(settled.revision),
            now=format_ms(now_ms),
            org_id=org.id,
            cluster_id=caller.cluster_id,
            cluster_name=caller.cluster_name,
            plan=org.plan,
            ceiling_hours=settled.ceiling_hours,
            scopes=list(caller.scopes),
            keys=await teller.keys(cluster_id=caller.cluster_id),
            overrides=teller.overrides(),
            capture=None if capture is None else capture.state(),
            overridden=teller.overridden(),
        )
    tag = etag(answer)
    if request.headers.get("If-None-Match") == tag:
        return web.Response(status=304, headers={"ETag": tag})
    response = json_document(answer)
    response.headers["ETag"] = tag
    return response


async def heartbeat(request: web.Request) -> web.Response:
    """Take the list of live owners; release who is gone, tell what is in force."""
    hub = request.app[HUB]
    caller = await require_cluster(request, SCOPE_SETTINGS)
    no_parameters(request)
    raw = await read_body(
        request,
        limit_bytes=MAX_HEARTBEAT_BYTES,
        timeout_seconds=hub.settings.body_timeout_seconds,
    )
    sent = decode_body(raw, _decoder, _FIELDS)
    _refuse_mistakes(sent)
    async with changing(request, None, org_id=caller.org_id) as change:
        org = await change.lock(caller.org_id)
        await check_still_good(change, caller)
        settled = await look(change.conn, org, now_ms=change.now_ms)
        found = await _take_census(change, caller, settled, sent)
        for owner_id in found.released:
            owner = settled.owners[owner_id]
            await release(change, org, owner, read_document(owner).deletion_policy)
            await note_released(change.conn, org.id, caller.cluster_id, owner_id, change.now_ms)
        if found.released:
            settled = await look(change.conn, org, now_ms=change.now_ms)
        answer = await _answer(change, org, caller, settled, sent)
    return json_document(answer)


async def _take_census(
    change: Change, caller: ClusterPrincipal, settled: Settled, sent: OperatorHeartbeat
) -> Census:
    conn, org_id, now_ms = change.conn, caller.org_id, change.now_ms
    live = {owner.owner_id for owner in sent.owners}
    known = [
        Known(owner_id=name, missing_since_ms=owner.missing_since_ms)
        for name, owner in settled.owners.items()
        if owner.cluster_id == caller.cluster_id and not owner.detached
    ]
    heard = await get_cluster_row(conn, org_id, caller.cluster_id)
    agreed_until = heard.release_agreed_until_ms if heard else None
    agreed = agreed_until is not None and agreed_until > now_ms
    found = census(known, live, is_complete=sent.is_complete, now_ms=now_ms, agreed=agreed)
    await mark_seen(conn, org_id, (k.owner_id for k in known if k.owner_id in live), now_ms)
    await mark_missing(conn, org_id, found.newly_missing, now_ms)
    blocked_since = heard.blocked_since_ms if heard else None
    if sent.is_complete:
        blocked_since = (blocked_since or now_ms) if found.is_blocked else None
    radar = sent.radar
    await put_cluster_row(
        conn,
        org_id,
        ClusterRow(
            cluster_id=caller.cluster_id,
            heard_at_ms=now_ms,
            operator_version=sent.version,
            blocked_since_ms=blocked_since,
            release_agreed_until_ms=agreed_until,
            radar_pods=None if radar is None else radar.total,
            radar_pods_without_gateway=None if radar is None else radar.without_gateway,
        ),
    )
    return found


async def _answer(
    change: Change,
    org: Org,
    caller: ClusterPrincipal,
    settled: Settled,
    sent: OperatorHeartbeat,
) -> OperatorHeartbeatAnswer:
    conn, now_ms, cluster_id = change.conn, change.now_ms, caller.cluster_id
    teller = Teller(conn, org, settled, now_ms, await cluster_names(conn, org.id))
    capture = await capture_of(conn, org.id, cluster_id, now_ms)
    upgrade = (await get_upgrades(conn, org.id, [cluster_id])).get(cluster_id)
    # Whatever the list names: of another cluster's owners nothing is told.
    mine = {name: one for name, one in settled.owners.items() if one.cluster_id == cluster_id}
    return OperatorHeartbeatAnswer(
        now=format_ms(now_ms),
        revision=str(settled.revision),
        org_id=org.id,
        cluster_id=cluster_id,
        plan=org.plan,
        ceiling_hours=settled.ceiling_hours,
        drifted=drifted(mine, sent.owners),
        released=await take_released(conn, org.id, cluster_id),
        release_blocked=await _blocked(conn, org.id, cluster_id, settled, sent),
        states=[
            OwnerState(
                owner_id=live.owner_id,
                retention=await teller.retention(live.owner_id),
                destinations=await teller.destinations(live.owner_id),
            )
            for live in sent.owners
            if live.owner_id in mine
        ],
        collectors=collector_states(await collectors_of(conn, org.id, cluster_id), now_ms),
        capture=None if capture is None else capture.state(),
        requested_upgrade=upgrade.version if upgrade and is_pending(upgrade) else None,
        overridden=teller.overridden(),
    )


async def _blocked(
    conn: Connection, org_id: str, cluster_id: str, settled: Settled, sent: OperatorHeartbeat
) -> ReleaseBlocked | None:
    heard = await get_cluster_row(conn, org_id, cluster_id)
    if heard is None or heard.blocked_since_ms is None:
        return None
    mine = [
        name
        for name, owner in settled.owners.items()
        if owner.cluster_id == cluster_id and not owner.detached
    ]
    live = {owner.owner_id for owner in sent.owners}
    return ReleaseBlocked(
        missing=len([name for name in mine if name not in live]),
        known=len(mine),
        since=format_ms(heard.blocked_since_ms),
    )


def drifted(owners: Mapping[str, Owner], live: Collection[LiveOwner]) -> list[str]:
    """Return the owners whose stored document is not the one that their cluster names."""
    found = []
    for one in live:
        owner = owners.get(one.owner_id)
        kept = None if owner is None else (owner.uid, owner.generation, owner.spec_hash)
        if not one.is_suspended and kept != (one.uid, one.generation, one.spec_hash):
            found.append(one.owner_id)
    return found


def _refuse_mistakes(sent: OperatorHeartbeat) -> None:
    errors = []
    if len(sent.owners) > MAX_OWNERS:
        errors.append(FieldError("owners", f"must be at most {MAX_OWNERS}"))
    if len({owner.owner_id for owner in sent.owners}) != len(sent.owners):
        errors.append(FieldError("owners", "must name each owner once"))
    if not 1 <= len(sent.version) <= MAX_VERSION_CHARS or not sent.version.isprintable():
        errors.append(
            FieldError("version", f"must be 1 to {MAX_VERSION_CHARS} printable characters")
        )
    radar = sent.radar
    if radar is not None and not 0 <= radar.without_gateway <= radar.total <= 1_000_000:
        errors.append(FieldError("radar", "must be counts of pods, those without among the total"))
    if errors:
        raise InvalidBodyError(errors)


async def _org(conn: Connection, caller: ClusterPrincipal) -> Org:
    found = await get_org(conn, caller.org_id)
    assert found is not None
    return found
