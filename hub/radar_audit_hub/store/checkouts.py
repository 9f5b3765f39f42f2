"""SQL of the checkouts that owners began: what was asked of Stripe, before it is asked.

Owns the table `checkout_intent`. Called by billing inside its changes, which hold the org's
lock. Never asks Stripe and never writes an audit event.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import and_, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from .control import insert_new
from .schema_billing import checkout_intent

_MAX_OPEN = 50  # rows that `open_intents` returns: far above what an org can have


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutIntent:
    """One checkout; times are Unix milliseconds.

    `params` are the parameters of the request to Stripe, whose idempotency key is `id`. The
    session's fields are None until Stripe has answered; `closed_at_ms` is when it was paid, ran
    out, was refused or was given up for another one.
    """

    org_id: str
    id: str
    plan: str
    quantity: int
    params: Mapping[str, str] = field(repr=False)
    user_id: str
    user_email: str
    pat_name: str | None
    created_at_ms: int
    session_id: str | None = None
    session_url: str | None = field(default=None, repr=False)
    expires_at_ms: int | None = None
    closed_at_ms: int | None = None


async def insert_intent(conn: AsyncConnection, new: CheckoutIntent) -> None:
    """Insert an intent that Stripe has not been asked for."""
    row = {
        "org_id": new.org_id,
        "id": new.id,
        "plan": new.plan,
        "quantity": new.quantity,
        "params": json.dumps(dict(new.params), sort_keys=True),
        "user_id": new.user_id,
        "user_email": new.user_email,
        "pat_name": new.pat_name,
        "created_at": new.created_at_ms,
    }
    await insert_new(conn, checkout_intent, row)


async def get_intent(conn: AsyncConnection, org_id: str, intent_id: str) -> CheckoutIntent | None:
    """Return an intent, None if there is none."""
    row = (await conn.execute(select(checkout_intent).where(_is(org_id, intent_id)))).first()
    return None if row is None else _intent(row)


async def open_intents(conn: AsyncConnection, org_id: str) -> list[CheckoutIntent]:
    """Return the org's intents that are not closed, the newest first."""
    statement = (
        select(checkout_intent)
        .where(checkout_intent.c.org_id == org_id, checkout_intent.c.closed_at.is_(None))
        .order_by(checkout_intent.c.id.desc())
        .limit(_MAX_OPEN)
    )
    return [_intent(row) for row in await conn.execute(statement)]


async def note_session(
    conn: AsyncConnection,
    org_id: str,
    intent_id: str,
    *,
    session_id: str,
    url: str,
    expires_at_ms: int,
) -> bool:
    """Note the session that Stripe opened; False if it was noted before."""
    result = await conn.execute(
        update(checkout_intent)
        .where(_is(org_id, intent_id), checkout_intent.c.session_id.is_(None))
        .values(session_id=session_id, session_url=url, expires_at=expires_at_ms)
    )
    return bool(result.rowcount)


async def close_intent(conn: AsyncConnection, org_id: str, intent_id: str, now_ms: int) -> None:
    """Close an intent; harmless if it is closed."""
    await conn.execute(
        update(checkout_intent)
        .where(_is(org_id, intent_id), checkout_intent.c.closed_at.is_(None))
        .values(closed_at=now_ms)
    )


async def forget_closed(conn: AsyncConnection, org_id: str, before_ms: int) -> None:
    """Delete the org's intents that were closed before a time: they name a person."""
    await conn.execute(
        delete(checkout_intent).where(
            checkout_intent.c.org_id == org_id, checkout_intent.c.closed_at < before_ms
        )
    )


def _is(org_id: str, intent_id: str) -> Any:
    return and_(checkout_intent.c.org_id == org_id, checkout_intent.c.id == intent_id)


def _intent(row: Any) -> CheckoutIntent:
    return CheckoutIntent(
        org_id=row.org_id,
        id=row.id,
        plan=row.plan,
        quantity=row.quantity,
        params=json.loads(row.params),
        user_id=row.user_id,
        user_email=row.user_email,
        pat_name=row.pat_name,
        created_at_ms=row.created_at,
        session_id=row.session_id,
        session_url=row.session_url,
        expires_at_ms=row.expires_at,
        closed_at_ms=row.closed_at,
    )
