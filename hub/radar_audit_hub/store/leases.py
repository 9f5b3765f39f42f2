"""Leases of background jobs: one holder at a time over all replicas.

Owns the table `job_lease`. Called by the jobs. A lease keeps replicas from doing the same work
twice; it is not a lock: what a job does must be right even if two hold it for a moment, because
replicas judge the time by clocks of their own.
"""

from __future__ import annotations

from sqlalchemy import delete, or_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from .control import insert_new
from .schema import job_lease

_CLOCKS_APART_MS = 10 * 60 * 1000  # replicas' clocks are never this far apart


async def take_lease(
    conn: AsyncConnection, name: str, holder: str, *, now_ms: int, until_ms: int
) -> bool:
    """Take or prolong the lease `name` until `until_ms`; False while another holds it.

    One that reaches much further than a new one would is a relic of a clock that was set back.
    """
    taken = await conn.execute(
        update(job_lease)
        .where(
            job_lease.c.name == name,
            or_(
                job_lease.c.holder == holder,
                job_lease.c.until_at <= now_ms,
                job_lease.c.until_at > until_ms + _CLOCKS_APART_MS,
            ),
        )
        .values(holder=holder, until_at=until_ms)
    )
    if taken.rowcount:
        return True
    row = {"name": name, "holder": holder, "until_at": until_ms}
    return await insert_new(conn, job_lease, row)


async def release_lease(conn: AsyncConnection, name: str, holder: str) -> None:
    """Give the lease back; harmless if it has passed to another holder."""
    await conn.execute(
        delete(job_lease).where(job_lease.c.name == name, job_lease.c.holder == holder)
    )
