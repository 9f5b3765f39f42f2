"""The routes of clusters: list, show, connect, change, remove, new token, upgrade of the agents.

Owns the edge; what may be said of a cluster is in `fields.py`, how its agents are in `agents.py`,
and what a refusal leaves behind in `guard.py`. A cluster's token is in the answer that makes it
and nowhere else. The heartbeat's handler is in `heartbeat.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from aiohttp import web
from radar_audit_events.ids import format_ms, is_opaque_id, new_id
from radar_audit_events.policy_wire import SCOPE_ORG_SETTINGS

from radar_audit_hub.auth.access import require
from radar_audit_hub.auth.principal import MEMBER, ORG_READ_SCOPE, OWNER, Principal
from radar_audit_hub.billing.plans import cluster_limit
from radar_audit_hub.billing.quantity import request_sync
from radar_audit_hub.changes import Change, changing, changing_by_itself
from radar_audit_hub.context import HUB
from radar_audit_hub.credentials import SECRET_BYTES, new_token, token_hash
from radar_audit_hub.declarations import declare
from radar_audit_hub.errors import ConflictError, NotFoundError, PlanLimitError
from radar_audit_hub.json_edge import json_document, no_parameters, read_document
from radar_audit_hub.listing import cut, read_only_page
from radar_audit_hub.notices import words
from radar_audit_hub.notices.telling import tell
from radar_audit_hub.store.clusters import (
    Upgrade,
    cluster_id_of_name,
    count_clusters,
    delete_cluster,
    get_cluster,
    get_upgrades,
    list_clusters,
    revoke_cluster_tokens,
    save_upgrade,
    scopes_of_cluster,
    update_cluster,
)
from radar_audit_hub.store.collectors import (
    MAX_COLLECTORS,
    list_collectors,
    versions_seen,
)
from radar_audit_hub.store.control import Cluster, insert_cluster
from radar_audit_hub.store.database import Connection
from radar_audit_hub.store.tokens import insert_cluster_token

from .agents import CONNECTED_MS, agent, is_pending, public_upgrade, settled
from .fields import (
    ClusterPatch,
    NewCluster,
    UpgradeRequest,
    check_new,
    check_upgrade,
    differences,
    patched,
)
from .guard import DENIED, SCOPE, privileged
from .heartbeat import heartbeat

CREATED, UPDATED, DELETED = "cluster.created", "cluster.updated", "cluster.deleted"
ROTATED, UPGRADE_REQUESTED = "cluster.token_rotated", "cluster.agent.upgrade_requested"
TOKEN_SCOPES = ("ingest", "agent", "audit-settings:write")
SHOWN_IN_LISTS = 20  # collectors of one cluster
NEW = msgspec.json.Decoder(NewCluster)
PATCH = msgspec.json.Decoder(ClusterPatch)
UPGRADE = msgspec.json.Decoder(UpgradeRequest)
_NO_SUCH_CLUSTER = "there is no such cluster here"
_EVERY = "/api/orgs/{org_id}/clusters"
_ONE = _EVERY + "/{cluster_id}"


async def list_all(request: web.Request) -> web.Response:
    """Answer with a page of the org's clusters, by id."""
    return json_document(await listed(request, await require(request, scope=ORG_READ_SCOPE)))


async def listed(request: web.Request, caller: Principal) -> dict[str, Any]:
    """Return the page of clusters that the address asks for, as the API shows it."""
    hub = request.app[HUB]
    list_name = f"clusters:{caller.org_id}"
    asked = read_only_page(list(request.query.items()), list_name, (str,))
    async with hub.db.read() as conn:
        rows = await list_clusters(
            conn, caller.org_id, after=asked.after_text, limit=asked.limit + 1
        )
        page, following = cut(rows, asked, list_name, lambda row: (row.id,))
        shown = await _public(conn, page, SHOWN_IN_LISTS, hub.now_ms())
    return {"clusters": shown, "next_cursor": following}


async def show(request: web.Request) -> web.Response:
    """Answer with one cluster and all of its collectors."""
    caller = await require(request, scope=ORG_READ_SCOPE)
    no_parameters(request)
    return json_document(await load(request, caller))


async def load(request: web.Request, caller: Principal) -> dict[str, Any]:
    """Return the cluster that the path names, as the API shows it. Raises NotFoundError."""
    hub = request.app[HUB]
    async with hub.db.read() as conn:
        found = await _find(conn, caller.org_id, request)
        return await _public_one(conn, found, hub.now_ms())


async def create(request: web.Request) -> web.Response:
    """Connect a cluster; its token is in this answer only."""
    caller = await require(request, OWNER, MEMBER, scope=SCOPE)
    return json_document(await add(request, caller, await read_document(request, NEW)), status=201)


async def add(request: web.Request, caller: Principal, asked: NewCluster) -> dict[str, Any]:
    """Connect a cluster; return it as the API shows it, with its token (a secret).

    Raises InvalidBodyError, ConflictError, PlanLimitError, which the org's owners are told of.
    """
    check_new(asked)
    try:
        return await _add(request, caller, asked)
    except PlanLimitError as refused:
        async with changing_by_itself(request.app[HUB]) as change:
            await change.lock(caller.org_id)
            notice = words.cap_hit(
                caller.org_id, limit=refused.limit, by_email=caller.email, now_ms=change.now_ms
            )
            await tell(change, caller.org_id, notice)
        raise


async def _add(request: web.Request, caller: Principal, asked: NewCluster) -> dict[str, Any]:
    hub = request.app[HUB]
    token = new_token("rhc", hub.random_bytes(SECRET_BYTES))
    async with changing(request, caller) as change:
        org, _ = await change.lock_as(caller.org_id, OWNER, MEMBER)
        await _check_room(change, org.id, org.plan)
        await _check_name(change, org.id, asked.name)
        made = Cluster(
            org_id=org.id,
            id=asked.id or new_id("cl_", change.now_ms, hub.random_bytes(10)),
            name=asked.name,
            environment=asked.environment,
            labels=asked.labels,
            created_at_ms=change.now_ms,
        )
        if not await insert_cluster(change.conn, made):
            raise ConflictError(f"the id {made.id} is taken; leave it out to get a new one")
        await _add_token(change, made, token)
        labels = {"labels": dict(made.labels)} if made.labels else {}
        metadata = {"name": made.name, "environment": made.environment, **labels}
        change.note(org.id, CREATED, made.id, metadata, cluster_id=made.id)
        await request_sync(change.conn, org.id, change.now_ms)
        shown = await _public_one(change.conn, made, change.now_ms)
    return {**shown, "token": token}


async def change_fields(request: web.Request) -> web.Response:
    """Change name, environment or labels; without a difference nothing is written."""
    async with privileged(request, "cluster.update", OWNER) as caller:
        asked = await read_document(request, PATCH)
        return json_document(await update(request, caller, asked))


async def update(request: web.Request, caller: Principal, asked: ClusterPatch) -> dict[str, Any]:
    """Change the cluster that the path names, for a `privileged` caller; return it.

    Raises InvalidBodyError, NotFoundError, ConflictError.
    """
    async with changing(request, caller) as change:
        await change.lock_as(caller.org_id, OWNER)
        before = await _find(change.conn, caller.org_id, request)
        after = patched(before, asked)
        if changes := differences(before, after):
            if after.name != before.name:
                await _check_name(change, after.org_id, after.name)
            await update_cluster(change.conn, after)
            metadata = {"changes": changes}
            change.note(after.org_id, UPDATED, after.id, metadata, cluster_id=after.id)
        return await _public_one(change.conn, after, change.now_ms)


async def remove(request: web.Request) -> web.Response:
    """Remove a cluster; its tokens are refused from now on, its events stay."""
    async with privileged(request, "cluster.delete", OWNER) as caller:
        no_parameters(request)
        return json_document(await delete(request, caller))


async def delete(request: web.Request, caller: Principal) -> dict[str, Any]:
    """Remove the cluster that the path names, for a `privileged` caller; return what it was."""
    async with changing(request, caller) as change:
        await change.lock_as(caller.org_id, OWNER)
        gone = await _find(change.conn, caller.org_id, request)
        shown = await _public_one(change.conn, gone, change.now_ms)
        await delete_cluster(change.conn, gone, change.now_ms)
        metadata = {"name": gone.name}
        change.note(gone.org_id, DELETED, gone.id, metadata, cluster_id=gone.id)
        await request_sync(change.conn, gone.org_id, change.now_ms)
        return shown


async def rotate_token(request: web.Request) -> web.Response:
    """Replace a cluster's token: the old one is refused from now on."""
    async with privileged(request, "cluster.rotate_token", OWNER) as caller:
        no_parameters(request)
        return json_document(await new_cluster_token(request, caller))


async def new_cluster_token(request: web.Request, caller: Principal) -> dict[str, Any]:
    """Replace the token of the path's cluster, for a `privileged` caller; return it (a secret)."""
    token = new_token("rhc", request.app[HUB].random_bytes(SECRET_BYTES))
    async with changing(request, caller) as change:
        await change.lock_as(caller.org_id, OWNER)
        of = await _find(change.conn, caller.org_id, request)
        before = await scopes_of_cluster(change.conn, of.org_id, of.id)
        used_ms = await revoke_cluster_tokens(change.conn, of.org_id, of.id, change.now_ms)
        # What an owner has granted the cluster outlives its token.
        await _add_token(change, of, token, before & {SCOPE_ORG_SETTINGS})
        used_at = None if used_ms is None else format_ms(used_ms)
        last_used = {"previous_token_last_used_at": used_at}
        metadata = {"name": of.name, **last_used}
        change.note(of.org_id, ROTATED, of.id, metadata, cluster_id=of.id)
    return {"cluster_id": of.id, "token": token, **last_used}


async def upgrade_agent(request: web.Request) -> web.Response:
    """Ask for an upgrade; the same version again while it is pending changes nothing."""
    async with privileged(request, "cluster.upgrade_agent", OWNER) as caller:
        asked = await read_document(request, UPGRADE)
        return json_document(await request_upgrade(request, caller, asked))


async def request_upgrade(
    request: web.Request, caller: Principal, asked: UpgradeRequest
) -> dict[str, Any] | None:
    """Ask the agents of the path's cluster for a version, for a `privileged` caller.

    Raises InvalidBodyError, NotFoundError, ConflictError.
    """
    check_upgrade(asked)
    async with changing(request, caller) as change:
        await change.lock_as(caller.org_id, OWNER)
        of = await _find(change.conn, caller.org_id, request)
        wanted = await _wanted_upgrade(change, of, asked.version)
    return public_upgrade(wanted, change.now_ms)


async def _wanted_upgrade(change: Change, of: Cluster, version: str) -> Upgrade:
    before = (await get_upgrades(change.conn, of.org_id, [of.id])).get(of.id)
    if (
        before is not None
        and before.version == version
        and is_pending(settled(before, change.now_ms))
    ):
        return before
    since_ms = change.now_ms - CONNECTED_MS
    if set(await versions_seen(change.conn, of.org_id, of.id, since_ms)) == {version}:
        raise ConflictError(f"all connected collectors of the cluster run {version} already")
    wanted = Upgrade(version=version, requested_at_ms=change.now_ms)
    await save_upgrade(change.conn, of.org_id, of.id, wanted)
    ever_seen = await versions_seen(change.conn, of.org_id, of.id, 0)
    metadata = {
        "current_version": ever_seen[0] if ever_seen else None,
        "requested_version": version,
    }
    change.note(of.org_id, UPGRADE_REQUESTED, of.id, metadata, cluster_id=of.id)
    return wanted


async def _find(conn: Connection, org_id: str, request: web.Request) -> Cluster:
    cluster_id = request.match_info["cluster_id"]
    found = None
    if is_opaque_id("cl", cluster_id):
        found = await get_cluster(conn, org_id, cluster_id)
    if found is None:
        raise NotFoundError(_NO_SUCH_CLUSTER)
    return found


async def _check_room(change: Change, org_id: str, plan: str) -> None:
    limit = cluster_limit(plan)
    if limit is not None and await count_clusters(change.conn, org_id) >= limit:
        raise PlanLimitError(f"the {plan} plan holds {limit} clusters", limit)


async def _check_name(change: Change, org_id: str, name: str) -> None:
    if await cluster_id_of_name(change.conn, org_id, name) is not None:
        raise ConflictError("another cluster of the organization has this name; choose another")


async def _add_token(
    change: Change, of: Cluster, token: str, granted: Collection[str] = ()
) -> None:
    await insert_cluster_token(
        change.conn,
        org_id=of.org_id,
        cluster_id=of.id,
        token_hash=token_hash(token),
        scopes=(*TOKEN_SCOPES, *sorted(granted)),
        created_at_ms=change.now_ms,
    )


async def _public_one(conn: Connection, of: Cluster, now_ms: int) -> dict[str, Any]:
    (shown,) = await _public(conn, [of], MAX_COLLECTORS, now_ms)
    return shown


async def _public(
    conn: Connection, clusters: Sequence[Cluster], limit: int, now_ms: int
) -> list[dict[str, Any]]:
    """Return clusters as the API shows them, each with at most `limit` collectors."""
    if not clusters:
        return []
    org_id, ids = clusters[0].org_id, [of.id for of in clusters]
    collectors = await list_collectors(conn, org_id, ids, limit)
    upgrades = await get_upgrades(conn, org_id, ids)
    return [
        {
            "id": of.id,
            "name": of.name,
            "environment": of.environment,
            "labels": dict(of.labels),
            "created_at": format_ms(of.created_at_ms),
            "agent": agent(*collectors.get(of.id, ([], 0)), now_ms),
            "upgrade": public_upgrade(upgrades.get(of.id), now_ms),
        }
        for of in clusters
    ]


def routes() -> list[web.RouteDef]:
    """Return the feature's routes."""
    beat = web.post("/api/agent/heartbeat", heartbeat)
    return [
        web.get(_EVERY, list_all, allow_head=False),
        declare(web.post(_EVERY, create), events=(CREATED,)),
        web.get(_ONE, show, allow_head=False),
        declare(web.patch(_ONE, change_fields), events=(UPDATED, DENIED)),
        declare(web.delete(_ONE, remove), events=(DELETED, DENIED)),
        declare(
            web.post(_ONE + "/rotate-token", rotate_token),
            events=(ROTATED, DENIED),
        ),
        declare(
            web.post(_ONE + "/upgrade-agent", upgrade_agent),
            events=(UPGRADE_REQUESTED, DENIED),
        ),
        declare(beat, events=None, reason="transport: an agent's state is not audited"),
    ]
