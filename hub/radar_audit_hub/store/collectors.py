"""SQL of what collectors say of themselves: their last heartbeat, and the gaps they report.

Owns the tables `collector` and `collector_gap`. Called by the heartbeat and ingest handlers and
by the retention job. Bounded: a cluster keeps its MAX_COLLECTORS most recently seen collectors
and its MAX_GAPS newest gaps, whatever a token's holder sends.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, ColumnElement, Table, and_, cast, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from .control import insert_new
from .database import insert_into
from .schema import collector, collector_gap
from .schema_clusters import former_instance

MAX_COLLECTORS = 256  # rows per cluster; a DaemonSet on control-plane nodes has a handful
MAX_GAPS = 10_000  # rows per cluster
MAX_FORMER_INSTANCES = 100  # rows per cluster: each is gone after ten minutes


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectorState:
    """A collector's last words; the fields that end in `_json` are JSON texts."""

    org_id: str
    cluster_id: str
    collector_id: str
    instance_id: str
    version: str
    sources_json: str
    spool_json: str
    losses_json: str
    open_sessions_json: str
    capture_hash: str | None
    seen_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenCollector:
    """A collector as people see it; `open_sessions` is how many it had; times are Unix ms."""

    collector_id: str
    instance_id: str
    version: str
    sources_json: str
    spool_json: str
    losses_json: str
    open_sessions: int
    first_seen_at_ms: int
    last_seen_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GapRow:
    """`count` events of a cluster that were lost (or came too late) between two times (Unix ms)."""

    org_id: str
    cluster_id: str
    gap_id: str
    collector_id: str
    from_at_ms: int
    to_at_ms: int
    count: int
    reason: str
    recorded_at_ms: int


async def save_collector(conn: AsyncConnection, state: CollectorState) -> None:
    """Store a heartbeat over the collector's former one; the first one's time is kept.

    An instance that another comes after is remembered while it had terminals open (see
    `silence.py`); one that comes back takes back what was concluded from its silence.
    """
    before = await _lock_collector(conn, state)
    if before is not None and before.instance_id != state.instance_id:
        await _remember(conn, before)
    elif before is not None and before.settled_at is not None:
        gap_id = silent_gap_id(state.collector_id, state.instance_id)
        await conn.execute(delete(collector_gap).where(*_gap_key(state, gap_id)))
    changing = {
        "instance_id": state.instance_id,
        "version": state.version,
        "sources": state.sources_json,
        "spool": state.spool_json,
        "losses": state.losses_json,
        "open_sessions": state.open_sessions_json,
        "capture_hash": state.capture_hash,
        "last_seen_at": state.seen_at_ms,
        "settled_at": None,
    }
    row = changing | {
        "org_id": state.org_id,
        "cluster_id": state.cluster_id,
        "collector_id": state.collector_id,
        "first_seen_at": state.seen_at_ms,
    }
    keys = [column.name for column in collector.primary_key]
    await conn.execute(
        insert_into(conn, collector)
        .values(**row)
        .on_conflict_do_update(index_elements=keys, set_=changing)
    )
    of_cluster = and_(
        collector.c.org_id == state.org_id, collector.c.cluster_id == state.cluster_id
    )
    await _keep_newest(
        conn,
        collector,
        of_cluster,
        collector.c.last_seen_at,
        collector.c.collector_id,
        MAX_COLLECTORS,
    )


def silent_gap_id(collector_id: str, instance_id: str) -> str:
    """Return the id of the gap that an instance's silence makes."""
    digest = hashlib.sha256(f"{collector_id}\0{instance_id}".encode())
    return f"silent-{digest.hexdigest()[:32]}"


async def _lock_collector(conn: AsyncConnection, state: CollectorState) -> Any:
    """Return the collector's row as it is, kept from the job that deals with silence."""
    statement = select(collector).where(
        collector.c.org_id == state.org_id,
        collector.c.cluster_id == state.cluster_id,
        collector.c.collector_id == state.collector_id,
    )
    return (await conn.execute(statement.with_for_update())).first()


async def _remember(conn: AsyncConnection, before: Any) -> None:
    """Keep the instance of a collector's row, if it has terminals that nobody has dealt with."""
    if before.settled_at is not None or before.open_sessions == "[]":
        return
    row = {column.name: getattr(before, column.name) for column in former_instance.columns}
    await insert_new(conn, former_instance, row)
    of_cluster = and_(
        former_instance.c.org_id == before.org_id,
        former_instance.c.cluster_id == before.cluster_id,
    )
    names = former_instance.c.collector_id + " " + former_instance.c.instance_id
    newest = former_instance.c.last_seen_at
    await _keep_newest(conn, former_instance, of_cluster, newest, names, MAX_FORMER_INSTANCES)


def _gap_key(state: CollectorState, gap_id: str) -> tuple[ColumnElement[bool], ...]:
    return (
        collector_gap.c.org_id == state.org_id,
        collector_gap.c.cluster_id == state.cluster_id,
        collector_gap.c.gap_id == gap_id,
    )


async def list_collectors(
    conn: AsyncConnection, org_id: str, cluster_ids: Sequence[str], limit: int
) -> dict[str, tuple[list[SeenCollector], int]]:
    """Return each cluster's `limit` most recently seen collectors, and how many it has in all.

    Clusters that never had one are left out. The names of open sessions stay in the database,
    which counts them: a quarter of a megabyte a collector, and a page has thousands.
    """
    of_cluster = collector.c.cluster_id
    newest_first = (collector.c.last_seen_at.desc(), collector.c.collector_id)
    ranked = (
        select(
            of_cluster,
            collector.c.collector_id,
            func.row_number().over(partition_by=of_cluster, order_by=newest_first).label("place"),
            func.count().over(partition_by=of_cluster).label("total"),
        )
        .where(collector.c.org_id == org_id, of_cluster.in_(cluster_ids))
        .subquery()
    )
    is_same = and_(
        ranked.c.cluster_id == of_cluster, ranked.c.collector_id == collector.c.collector_id
    )
    statement = (
        select(
            *(column for column in collector.c if column.name != "open_sessions"),
            _length(conn, collector.c.open_sessions).label("open_sessions"),
            ranked.c.total,
        )
        .join(ranked, is_same)
        .where(collector.c.org_id == org_id, ranked.c.place <= limit)
        .order_by(of_cluster, ranked.c.place)
    )
    found: dict[str, tuple[list[SeenCollector], int]] = {}
    for row in await conn.execute(statement):
        seen = SeenCollector(
            collector_id=row.collector_id,
            instance_id=row.instance_id,
            version=row.version,
            sources_json=row.sources,
            spool_json=row.spool,
            losses_json=row.losses,
            open_sessions=row.open_sessions,
            first_seen_at_ms=row.first_seen_at,
            last_seen_at_ms=row.last_seen_at,
        )
        found.setdefault(row.cluster_id, ([], row.total))[0].append(seen)
    return found


def _length(conn: AsyncConnection, texts: ColumnElement[str]) -> ColumnElement[int]:
    """Return how many items a JSON array in a column of text has."""
    if conn.dialect.name == "postgresql":
        return func.json_array_length(cast(texts, JSON))
    return func.json_array_length(texts)


async def versions_seen(
    conn: AsyncConnection, org_id: str, cluster_id: str, since_ms: int
) -> list[str]:
    """Return the versions of a cluster's collectors seen since `since_ms`, the last one first."""
    statement = (
        select(collector.c.version)
        .where(
            collector.c.org_id == org_id,
            collector.c.cluster_id == cluster_id,
            collector.c.last_seen_at >= since_ms,
        )
        .order_by(collector.c.last_seen_at.desc(), collector.c.collector_id)
    )
    return list((await conn.scalars(statement)).all())


async def save_gaps(conn: AsyncConnection, gaps: Sequence[GapRow]) -> int:
    """Store gaps; one that is there already (same cluster and gap_id) stays as it is.

    Returns how many were new. All of `gaps` are of one cluster.
    """
    new = 0
    for gap in gaps:
        row = {
            "org_id": gap.org_id,
            "cluster_id": gap.cluster_id,
            "gap_id": gap.gap_id,
            "collector_id": gap.collector_id,
            "from_at": gap.from_at_ms,
            "to_at": gap.to_at_ms,
            "count": gap.count,
            "reason": gap.reason,
            "recorded_at": gap.recorded_at_ms,
        }
        new += await insert_new(conn, collector_gap, row)
    if new:
        of_cluster = and_(
            collector_gap.c.org_id == gaps[0].org_id,
            collector_gap.c.cluster_id == gaps[0].cluster_id,
        )
        newest, key = collector_gap.c.recorded_at, collector_gap.c.gap_id
        await _keep_newest(conn, collector_gap, of_cluster, newest, key, MAX_GAPS)
    return new


async def list_gaps(
    conn: AsyncConnection, org_id: str, *, since_ms: int, limit: int
) -> list[GapRow]:
    """Return an org's gaps recorded since `since_ms`, the last first, at most `limit`.

    By when they were recorded: events that came too late make a gap of old times.
    """
    statement = (
        select(collector_gap)
        .where(collector_gap.c.org_id == org_id, collector_gap.c.recorded_at >= since_ms)
        .order_by(collector_gap.c.recorded_at.desc(), collector_gap.c.gap_id.desc())
        .limit(limit)
    )
    return [
        GapRow(
            org_id=row.org_id,
            cluster_id=row.cluster_id,
            gap_id=row.gap_id,
            collector_id=row.collector_id,
            from_at_ms=row.from_at,
            to_at_ms=row.to_at,
            count=row._mapping["count"],  # noqa: SLF001 - a row's own `count` is tuple's method
            reason=row.reason,
            recorded_at_ms=row.recorded_at,
        )
        for row in await conn.execute(statement)
    ]


async def has_old_gaps(conn: AsyncConnection, org_id: str, floor_ms: int) -> bool:
    """Tell whether `delete_old_gaps` would find any."""
    old = select(collector_gap.c.gap_id).where(
        collector_gap.c.org_id == org_id, collector_gap.c.recorded_at < floor_ms
    )
    return (await conn.execute(old.limit(1))).first() is not None


async def delete_old_gaps(conn: AsyncConnection, org_id: str, floor_ms: int) -> int:
    """Delete an org's gaps recorded before `floor_ms` (Unix ms); return how many."""
    result = await conn.execute(
        delete(collector_gap).where(
            collector_gap.c.org_id == org_id, collector_gap.c.recorded_at < floor_ms
        )
    )
    return result.rowcount


async def _keep_newest(
    conn: AsyncConnection,
    table: Table,
    where: ColumnElement[bool],
    newest: ColumnElement[int],
    key: ColumnElement[str],
    limit: int,
) -> None:
    count = await conn.scalar(select(func.count()).select_from(table).where(where))
    if (count or 0) <= limit:
        return
    kept = select(key).where(where).order_by(newest.desc(), key.desc()).limit(limit)
    await conn.execute(delete(table).where(where, key.not_in(kept)))
