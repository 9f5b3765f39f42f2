"""The requests that change a destination: what is there before, and the one that is judged.

Owns how each of these routes is asked in the world of `mutation_stage.py`. Used by the table of
mutations, beside `mutation_requests.py`.
"""

from __future__ import annotations

from typing import Any

from radar_audit_hub.notify.content import encode
from radar_audit_hub.store.notify_attempts import disable as disable_row
from radar_audit_hub.store.notify_messages import NewMessage, put_messages

from tests.hub.mutation_stage import ORG_PATH, Call, Stage
from tests.support.hub_builder import ORG
from tests.support.notify_world import content

PATH = f"{ORG_PATH}/destinations"
MESSAGE = "msg_" + "0" * 26
MAIL: dict[str, Any] = {"name": "mail", "email": {"to": ["ops@acme.com"]}}


async def _made(stage: Stage) -> str:
    """Return the path of the destination, which is made unless it is there."""
    listed = (await stage.hub.send("GET", PATH)).json["destinations"]
    if listed:
        return f"{PATH}/{listed[0]['id']}"
    answer = await stage.hub.send("POST", PATH, json=MAIL)
    assert answer.status == 201, answer.body
    return f"{PATH}/{answer.json['id']}"


async def change(stage: Stage) -> Call:
    return Call("PATCH", await _made(stage), {"min_severity": "warning"})


async def delete(stage: Stage) -> Call:
    return Call("DELETE", await _made(stage))


async def enable(stage: Stage) -> Call:
    path = await _made(stage)
    async with stage.hub.hub.db.write() as conn:
        await disable_row(conn, ORG, path.rpartition("/")[2], "gone", stage.hub.clock.now_ms)
    return Call("POST", f"{path}/enable")


async def try_one(stage: Stage) -> Call:
    path = await _made(stage)
    stage.hub.clock.now_ms += 60_000  # the pause between two tests is over
    return Call("POST", f"{path}/test")


async def replay(stage: Stage) -> Call:
    """Of a message that was put as a rule would put it."""
    path = await _made(stage)
    await put_message(stage, path.rpartition("/")[2])
    return Call("POST", f"{path}/replay", {"message_id": MESSAGE})


async def put_message(stage: Stage, destination_id: str) -> None:
    """Put the one message that is replayed, delivered already; harmless if it is there."""
    now_ms = stage.hub.clock.now_ms
    new = NewMessage(
        org_id=ORG,
        id=MESSAGE,
        destination_id=destination_id,
        owner_id="org",
        rule="shells",
        kind="event",
        severity="warning",
        dedup_key="once",
        payload=encode(content()),
        event_ids=None,
        created_at=now_ms,
        due_at=now_ms,
    )
    async with stage.hub.hub.db.write() as conn:
        await put_messages(conn, [new])
