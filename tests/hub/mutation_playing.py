"""Playing one mutation: under faults, which must leave nothing, and then in peace.

Owns the faults, the dump of all tables before and after, and the check of what was written. Used
by a test over SQLite and by a longer one over PostgreSQL.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from radar_audit_events.actions import ACTIONS
from radar_audit_events.schema import validate_metadata
from radar_audit_hub import changes
from radar_audit_hub.store.database import Connection
from radar_audit_hub.store.recording import record
from radar_audit_hub.store.tables import metadata
from sqlalchemy import event, func, select

from tests.hub.mutation_stage import Call, Stage
from tests.hub.mutations import Case
from tests.support.hub_builder import HubUnderTest

# When a token or a session was last used is stamped beside the request, whatever becomes of it.
STAMPS = frozenset({"last_used_at", "last_seen_at"})
Rows = dict[str, list[dict[str, Any]]]


async def dump(hub: HubUnderTest) -> Rows:
    """Return every row of every table."""
    await hub.hub.last_used.stop()
    found: Rows = {}
    async with hub.hub.db.write() as connection:
        for table in metadata.sorted_tables:
            rows = (await connection.execute(select(table))).mappings()
            kept = ({k: v for k, v in row.items() if k not in STAMPS} for row in rows)
            found[table.name] = sorted(kept, key=repr)
    return found


def events_between(before: Rows, after: Rows) -> list[dict[str, Any]]:
    """Return the events that came, in the order of their orgs and seqs."""
    known = {row["id"] for row in before["audit_event"]}
    new = [row for row in after["audit_event"] if row["id"] not in known]
    return sorted(new, key=lambda row: (row["org_id"], row["seq"]))


class FaultError(Exception):
    """What breaks in a step between the mutation and the end of its transaction."""


@contextmanager
def broken_before_the_events(_: HubUnderTest, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """The mutation is made, its events are not yet."""

    async def breaks(*_: Any, **__: Any) -> None:
        raise FaultError

    with patch.context() as patched:
        patched.setattr(changes, "record", breaks)
        yield


@contextmanager
def broken_after_the_events(_: HubUnderTest, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Both are made, the transaction goes on."""

    async def breaks(*args: Any, **named: Any) -> None:
        await record(*args, **named)
        raise FaultError

    with patch.context() as patched:
        patched.setattr(changes, "record", breaks)
        yield


@contextmanager
def broken_at_the_commit(hub: HubUnderTest, _: pytest.MonkeyPatch) -> Iterator[None]:
    """All is said to the database, and then the commit does not happen."""

    def breaks(_: Any) -> None:
        raise FaultError

    engine = hub.hub.db._writer.sync_engine
    event.listen(engine, "commit", breaks)
    try:
        yield
    finally:
        event.remove(engine, "commit", breaks)


@contextmanager
def broken_connection(hub: HubUnderTest, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Both are made, and then the server ends the connection that they were made on."""

    async def breaks(conn: Connection, *args: Any, **named: Any) -> None:
        await record(conn, *args, **named)
        number = (await conn.execute(select(func.pg_backend_pid()))).scalar_one()
        async with hub.hub.db.read() as other:
            await other.execute(select(func.pg_terminate_backend(number)))

    with patch.context() as patched:
        patched.setattr(changes, "record", breaks)
        yield


Fault = Callable[[HubUnderTest, pytest.MonkeyPatch], AbstractContextManager[None]]
FAULTS: tuple[Fault, ...] = (
    broken_before_the_events,
    broken_after_the_events,
    broken_at_the_commit,
)


def faults_of(case: Case, faults: Sequence[Fault]) -> list[Fault]:
    """Return what can break: a report, and what writes no event, has no step between the two."""
    between = case.writes and not case.reports
    return [one for one in faults if case.stores and (between or one is broken_at_the_commit)]


async def play(
    stage: Stage, case: Case, faults: Sequence[Fault], patch: pytest.MonkeyPatch
) -> None:
    """Make the case's request under each fault, which leaves nothing, and then in peace."""
    hub = stage.hub
    call = await case.ask(stage)
    for fault in faults_of(case, faults):
        before = await dump(hub)
        with fault(hub, patch):
            answer = await call.send(hub)
        assert answer.status in (500, 503), (fault, answer.body)
        after = await dump(hub)
        changed = {name for name in before if before[name] != after[name]}
        assert changed <= set(case.keeps), fault
        if not case.repeats:
            call = await case.ask(stage)
    before = await dump(hub)
    answer = await call.send(hub)
    assert answer.status == case.status, answer.body
    check_events(case, call, events_between(before, await dump(hub)))


def check_events(case: Case, call: Call, events: list[dict[str, Any]]) -> None:
    """Check that the events are the case's, in their order, each with metadata of the table."""
    assert tuple(row["action"] for row in events) == case.writes
    for row in events:
        validate_metadata(row["action"], json.loads(row["metadata"]))
        assert row["target_type"] == ACTIONS[row["action"]].target_type
    if call.token == "":  # the owner's PAT, which every one of its events names
        tokens = [json.loads(row["metadata"]).get("via_pat") for row in events]
        assert tokens == ["token 1"] * len(events)
