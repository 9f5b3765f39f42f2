"""The subscription's quantity follows the number of clusters: asking for it.

Owns `request_sync`, which whoever adds or removes a cluster calls inside that change; the job
that tells Stripe is in `quantity_job.py`. Never calls Stripe itself.
"""

from __future__ import annotations

from radar_audit_hub.store import outbox
from radar_audit_hub.store.database import Connection
from radar_audit_hub.store.subscriptions import sync_round

KIND = "billing.quantity"


async def request_sync(conn: Connection, org_id: str, now_ms: int) -> bool:
    """Have Stripe told how many clusters the org has, once this transaction has committed.

    To be called under the org's lock. Requests that come before the first of them is carried
    out are one. False if nothing is to be told, or will be by a request that waits already.
    """
    number = await sync_round(conn, org_id)
    if number is None:
        return False
    return await outbox.put(
        conn,
        kind=KIND,
        dedup_key=f"{KIND}:{org_id}:{number}",
        payload={"org_id": org_id, "round": number},
        now_ms=now_ms,
        org_id=org_id,
    )
