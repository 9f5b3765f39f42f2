"""SQL of the orgs' subscriptions, of what Stripe told about them, and of the plan they lead to.

Owns the tables `subscription`, `subscription_fetch` and `stripe_event`, and the column
`org.plan`. Called by billing inside its changes, which hold the org's lock. Never asks Stripe
and never writes an audit event.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from .control import insert_new
from .schema import cluster, org
from .schema_billing import stripe_event, subscription, subscription_fetch

_MAX_FORGOTTEN = 500  # rows that one call of `forget_events` deletes


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """An org's subscription as Stripe last showed it; `plan` is what its price pays for.

    Times are Unix milliseconds.
    """

    org_id: str
    subscription_id: str
    customer_id: str
    plan: str
    quantity: int
    status: str
    current_period_end_ms: int | None
    cancel_at_period_end: bool


async def get_subscription(conn: AsyncConnection, org_id: str) -> Subscription | None:
    """Return the org's subscription, the last one if it has ended; None if it never had one."""
    row = (await conn.execute(select(subscription).where(subscription.c.org_id == org_id))).first()
    if row is None:
        return None
    return Subscription(
        org_id=row.org_id,
        subscription_id=row.subscription_id,
        customer_id=row.customer_id,
        plan=row.plan,
        quantity=row.quantity,
        status=row.status,
        current_period_end_ms=row.current_period_end,
        cancel_at_period_end=row.cancel_at_period_end,
    )


async def save_subscription(conn: AsyncConnection, new: Subscription, now_ms: int) -> None:
    """Write the org's subscription over the one it had."""
    row = {
        "subscription_id": new.subscription_id,
        "customer_id": new.customer_id,
        "plan": new.plan,
        "quantity": new.quantity,
        "status": new.status,
        "current_period_end": new.current_period_end_ms,
        "cancel_at_period_end": new.cancel_at_period_end,
        "updated_at": now_ms,
    }
    first = {**row, "org_id": new.org_id, "sync_round": 0}
    if not await insert_new(conn, subscription, first):
        await conn.execute(
            update(subscription).where(subscription.c.org_id == new.org_id).values(**row)
        )


async def org_of_subscription(conn: AsyncConnection, subscription_id: str) -> str | None:
    """Return the org that has this subscription, None if none has."""
    statement = select(subscription.c.org_id).where(
        subscription.c.subscription_id == subscription_id
    )
    found: str | None = (await conn.execute(statement)).scalar_one_or_none()
    return found


async def set_plan(conn: AsyncConnection, org_id: str, plan: str) -> None:
    """Put an org on a plan."""
    await conn.execute(update(org).where(org.c.id == org_id).values(plan=plan))


async def count_clusters(conn: AsyncConnection, org_id: str) -> int:
    """Return how many clusters an org has, without deleted ones."""
    statement = (
        select(func.count())
        .select_from(cluster)
        .where(cluster.c.org_id == org_id, cluster.c.deleted_at.is_(None))
    )
    return int((await conn.execute(statement)).scalar_one())


async def sync_round(conn: AsyncConnection, org_id: str) -> int | None:
    """Return the round that the next request to tell the quantity belongs to.

    None for an org that never had a subscription.
    """
    statement = select(subscription.c.sync_round).where(subscription.c.org_id == org_id)
    found: int | None = (await conn.execute(statement)).scalar_one_or_none()
    return found


async def end_sync_round(conn: AsyncConnection, org_id: str, number: int) -> None:
    """Let later requests belong to the next round; harmless if they do already."""
    await conn.execute(
        update(subscription)
        .where(subscription.c.org_id == org_id, subscription.c.sync_round == number)
        .values(sync_round=number + 1)
    )


async def begin_fetch(conn: AsyncConnection, subscription_id: str) -> int:
    """Return the number of a fetch that is about to begin; later ones have higher numbers."""
    first = {"subscription_id": subscription_id, "begun": 0, "written": 0}
    await insert_new(conn, subscription_fetch, first)
    statement = (
        update(subscription_fetch)
        .where(subscription_fetch.c.subscription_id == subscription_id)
        .values(begun=subscription_fetch.c.begun + 1)
        .returning(subscription_fetch.c.begun)
    )
    return int((await conn.execute(statement)).scalar_one())


async def is_newest_fetch(conn: AsyncConnection, subscription_id: str, number: int) -> bool:
    """Note that this fetch is being written; False if one that began later was written already."""
    result = await conn.execute(
        update(subscription_fetch)
        .where(
            subscription_fetch.c.subscription_id == subscription_id,
            subscription_fetch.c.written < number,
        )
        .values(written=number)
    )
    return bool(result.rowcount)


async def is_known_event(conn: AsyncConnection, event_id: str) -> bool:
    """Tell whether a webhook event has been dealt with."""
    statement = select(stripe_event.c.event_id).where(stripe_event.c.event_id == event_id)
    return (await conn.execute(statement)).first() is not None


async def note_event(conn: AsyncConnection, event_id: str, kind: str, now_ms: int) -> bool:
    """Note a webhook event as dealt with; False if it was before, or is being so right now."""
    row = {"event_id": event_id, "type": kind, "received_at": now_ms}
    return await insert_new(conn, stripe_event, row)


async def forget_events(conn: AsyncConnection, before_ms: int) -> int:
    """Delete some of the events that were received before a time; return how many."""
    old = (
        select(stripe_event.c.event_id)
        .where(stripe_event.c.received_at < before_ms)
        .order_by(stripe_event.c.received_at)
        .limit(_MAX_FORGOTTEN)
        .with_for_update(skip_locked=True)  # two webhooks may forget at once
    )
    result = await conn.execute(delete(stripe_event).where(stripe_event.c.event_id.in_(old)))
    return int(result.rowcount)
