"""SQL of the holds on retention, and of what of an org's log may be deleted.

Owns the table `retention_hold`. Called by billing, which makes holds, and by the retention job,
which respects them; the rule is in `retention/policy.py`. Never deletes an event.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from radar_audit_hub.retention.in_force import read
from radar_audit_hub.retention.policy import Expiry, Hold, expiry

from .control import insert_new
from .schema import org
from .schema_billing import retention_hold


async def holds_of(conn: AsyncConnection, org_id: str) -> list[Hold]:
    """Return an org's holds, ended ones too, by plan."""
    statement = (
        select(retention_hold)
        .where(retention_hold.c.org_id == org_id)
        .order_by(retention_hold.c.plan)
    )
    return [Hold(row.plan, row.until_at) for row in await conn.execute(statement)]


async def put_hold(conn: AsyncConnection, org_id: str, hold: Hold) -> None:
    """Keep what the hold's plan kept, instead of an earlier hold of the same plan."""
    row = {"org_id": org_id, "plan": hold.plan, "until_at": hold.until_ms}
    if not await insert_new(conn, retention_hold, row):
        await conn.execute(
            update(retention_hold)
            .where(retention_hold.c.org_id == org_id, retention_hold.c.plan == hold.plan)
            .values(until_at=hold.until_ms)
        )


async def drop_holds(conn: AsyncConnection, org_id: str, plans: Collection[str]) -> None:
    """End the holds of these plans."""
    await conn.execute(
        delete(retention_hold).where(
            retention_hold.c.org_id == org_id, retention_hold.c.plan.in_(sorted(plans))
        )
    )


async def expiry_of(conn: AsyncConnection, org_id: str, now_ms: int) -> Expiry:
    """Return what may be deleted of an org, a deleted one too, at `now_ms` (Unix ms)."""
    row = (await conn.execute(select(org.c.plan, org.c.retention).where(org.c.id == org_id))).one()
    return expiry(row.plan, await holds_of(conn, org_id), now_ms, read(row.retention))
