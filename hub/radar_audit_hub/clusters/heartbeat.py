"""`POST /api/agent/heartbeat`: a collector says how it is, the hub who it is and what time it is.

Owns the edge; the bounds are in `clusters/rules.py`. A collector corrects its clock and learns
its org by the answer. Never writes an audit event: connecting and disconnecting are not audited.
"""

from __future__ import annotations

import msgspec
from aiohttp import web
from radar_audit_events.ids import format_ms
from radar_audit_events.wire import (
    HeartbeatAnswer,
    HeartbeatRequest,
    SpoolState,
    UpgradeReport,
)

from radar_audit_hub.auth.access import require_cluster
from radar_audit_hub.auth.principal import ClusterPrincipal
from radar_audit_hub.bodies import decode_body, read_body
from radar_audit_hub.context import HUB
from radar_audit_hub.errors import InvalidBodyError
from radar_audit_hub.policy.capture import capture_of
from radar_audit_hub.store.clusters import get_upgrades, save_upgrade
from radar_audit_hub.store.collectors import CollectorState, save_collector, versions_seen
from radar_audit_hub.store.database import Connection

from .agents import CONNECTED_MS, is_pending, reported, settled
from .report_turns import report_turn
from .rules import heartbeat_errors

SCOPE = "agent"
MAX_BODY_BYTES = 512 * 1024  # 2,000 open sessions of 64 characters fit several times
_decoder = msgspec.json.Decoder(HeartbeatRequest)
_FIELDS = (
    *HeartbeatRequest.__struct_fields__,
    *SpoolState.__struct_fields__,
    *UpgradeReport.__struct_fields__,
)


async def heartbeat(request: web.Request) -> web.Response:
    """Keep the collector's last words; answer with the hub's time and the token's cluster."""
    hub = request.app[HUB]
    caller = await require_cluster(request, SCOPE)
    body = await read_body(
        request,
        limit_bytes=MAX_BODY_BYTES,
        timeout_seconds=hub.settings.body_timeout_seconds,
    )
    sent = decode_body(body, _decoder, _FIELDS)
    if errors := heartbeat_errors(sent):
        raise InvalidBodyError(errors)
    turn = report_turn(hub, caller.org_id, caller.cluster_id)
    async with turn, hub.db.write() as connection:
        now_ms = hub.now_ms()
        await save_collector(connection, _state(sent, caller, now_ms))
        upgrade = await _follow_upgrade(connection, sent, caller, now_ms)
        capture = await capture_of(connection, caller.org_id, caller.cluster_id, now_ms)
    answer = HeartbeatAnswer(
        # Taken as late as possible: the collector halves the round trip, not our waiting.
        now=format_ms(hub.now_ms()),
        org_id=caller.org_id,
        cluster_id=caller.cluster_id,
        cluster_name=caller.cluster_name,
        capture=None if capture is None else msgspec.to_builtins(capture.settings),
        capture_etag=None if capture is None else capture.etag,
        upgrade=upgrade,
    )
    return web.Response(body=msgspec.json.encode(answer), content_type="application/json")


async def _follow_upgrade(
    conn: Connection, sent: HeartbeatRequest, caller: ClusterPrincipal, now_ms: int
) -> str | None:
    """Note how far a requested upgrade is; return its version while this collector is behind."""
    found = await get_upgrades(conn, caller.org_id, [caller.cluster_id])
    before = found.get(caller.cluster_id)
    if before is None or not is_pending(settled(before, now_ms)):
        return None
    since_ms = now_ms - CONNECTED_MS
    versions = await versions_seen(conn, caller.org_id, caller.cluster_id, since_ms)
    after = reported(before, sent.upgrade, versions, now_ms)
    if after != before:
        await save_upgrade(conn, caller.org_id, caller.cluster_id, after)
    return after.version if is_pending(after) and sent.version != after.version else None


def _state(sent: HeartbeatRequest, caller: ClusterPrincipal, now_ms: int) -> CollectorState:
    return CollectorState(
        org_id=caller.org_id,
        cluster_id=caller.cluster_id,
        collector_id=sent.collector_id,
        instance_id=sent.instance_id,
        version=sent.version,
        sources_json=msgspec.json.encode(sent.sources).decode(),
        spool_json=msgspec.json.encode(sent.spool).decode(),
        losses_json=msgspec.json.encode(sent.losses).decode(),
        open_sessions_json=msgspec.json.encode(sent.open_sessions).decode(),
        capture_hash=sent.capture_hash,
        seen_at_ms=now_ms,
    )
