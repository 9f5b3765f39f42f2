"""SQL of collectors that fell silent: which they are, what they had open, what came of it.

Called by `clusters/silence.py`, inside the transaction that writes the assumed ends. What an
instance had open is in its last heartbeat (`collector`), or, once another instance of the same
collector has sent one, in `former_instance`. Never decides how long silence may last.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, literal, null, select, union_all, update
from sqlalchemy.ext.asyncio import AsyncConnection

from .schema import cluster, collector
from .schema_clusters import former_instance

_AT_ONCE = 8  # collectors whose open sessions are read at once, a quarter of a megabyte each


@dataclass(frozen=True, slots=True, kw_only=True)
class SilentInstance:
    """An instance that nobody has heard of since `last_seen_at_ms` (Unix ms).

    `is_former`: another instance of the same collector has come after it. `waiting_events` is
    how many its spool held, None where that is not known to be lost.
    """

    org_id: str
    cluster_id: str
    collector_id: str
    instance_id: str
    open_sessions: tuple[str, ...]
    waiting_events: int | None
    last_seen_at_ms: int
    is_former: bool


async def silent_instances(
    conn: AsyncConnection, before_ms: int, limit: int
) -> list[SilentInstance]:
    """Return instances last seen before `before_ms` (Unix ms) that are not dealt with.

    There is no index for it: each heartbeat would have to write it, and the rows are few.
    """
    present = select(
        *(collector.c[name] for name in _SHARED), collector.c.spool, literal(0).label("former")
    ).where(collector.c.settled_at.is_(None), collector.c.last_seen_at < before_ms)
    former = select(
        *(former_instance.c[name] for name in _SHARED), null().label("spool"), literal(1)
    ).where(former_instance.c.last_seen_at < before_ms)
    both = union_all(present, former).subquery()
    statement = select(both).order_by(both.c.last_seen_at).limit(limit)
    return [_silent(row) for row in await conn.execute(statement)]


async def settle(conn: AsyncConnection, silent: SilentInstance, now_ms: int) -> bool:
    """Note that an instance's silence is dealt with; False if it is not silent any more."""
    table = former_instance if silent.is_former else collector
    still = (
        table.c.org_id == silent.org_id,
        table.c.cluster_id == silent.cluster_id,
        table.c.collector_id == silent.collector_id,
        table.c.instance_id == silent.instance_id,
        table.c.last_seen_at == silent.last_seen_at_ms,
    )
    if silent.is_former:
        result = await conn.execute(delete(table).where(*still))
    else:
        result = await conn.execute(
            update(table).where(*still, table.c.settled_at.is_(None)).values(settled_at=now_ms)
        )
    return bool(result.rowcount)


async def sessions_held(
    conn: AsyncConnection, org_id: str, cluster_id: str, since_ms: int, names: Collection[str]
) -> set[str]:
    """Return those of `names` that collectors of a cluster seen since `since_ms` have open.

    Some collectors' are looked at at a time: those of all may be close to 100 MB.
    """
    of_cluster = (collector.c.org_id == org_id, collector.c.cluster_id == cluster_id)
    heard = select(collector.c.collector_id).where(
        *of_cluster, collector.c.last_seen_at >= since_ms
    )
    ids = (await conn.scalars(heard)).all()
    wanted, held = set(names), set[str]()
    for first in range(0, len(ids), _AT_ONCE):
        some = collector.c.collector_id.in_(ids[first : first + _AT_ONCE])
        texts = await conn.scalars(select(collector.c.open_sessions).where(*of_cluster, some))
        for text in texts:
            held |= wanted.intersection(json.loads(text))
    return held


async def note_assumed(conn: AsyncConnection, org_id: str, cluster_id: str, now_ms: int) -> None:
    """Note that sessions of a cluster were taken as ended: later real ends are looked at twice."""
    await conn.execute(
        update(cluster)
        .where(cluster.c.org_id == org_id, cluster.c.id == cluster_id)
        .values(assumed_at=now_ms)
    )


_SHARED: Sequence[str] = (
    "org_id",
    "cluster_id",
    "collector_id",
    "instance_id",
    "open_sessions",
    "last_seen_at",
)


def _silent(row: Any) -> SilentInstance:
    return SilentInstance(
        org_id=row.org_id,
        cluster_id=row.cluster_id,
        collector_id=row.collector_id,
        instance_id=row.instance_id,
        open_sessions=tuple(json.loads(row.open_sessions)),
        waiting_events=None if row.spool is None else int(json.loads(row.spool)["events"]),
        last_seen_at_ms=row.last_seen_at,
        is_former=bool(row.former),
    )
