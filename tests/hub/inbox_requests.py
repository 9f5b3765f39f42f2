"""The requests that change a person's own inbox: what is there before, and the one that is judged.

Owns how these routes are asked in the world of `mutation_stage.py`. Used by the table of
mutations, beside `mutation_requests.py`.
"""

from __future__ import annotations

from radar_audit_hub.store import inbox
from radar_audit_hub.store.inbox import NewItem

from tests.hub.mutation_stage import OWNER_ID, Call, Stage
from tests.support.hub_builder import ORG

ITEM = "ntc_" + "0" * 26


async def delete(stage: Stage) -> Call:
    item = NewItem(
        user_id=OWNER_ID,
        id=ITEM,
        org_id=ORG,
        kind="cluster.disconnected",
        dedup_key="once",
        title="The cluster prod is disconnected",
        path="/orgs",
        facts="{}",
        created_at=stage.hub.clock.now_ms,
    )
    async with stage.hub.hub.db.write() as conn:
        await inbox.put_items(conn, [item])
    return Call("DELETE", f"/api/inbox/{ITEM}")


async def end_mails(stage: Stage) -> Call:
    async with stage.hub.hub.db.write() as conn:
        ending = await inbox.ending_of(conn, OWNER_ID, "billing.payment_failed", "a-link")
    return Call("POST", f"/api/inbox/unsubscribe/{ending}", token=None)
