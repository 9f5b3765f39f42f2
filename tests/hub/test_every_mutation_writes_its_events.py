"""Every mutating route writes exactly the events that it declares, or nothing at all."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from radar_audit_events.actions import ACTIONS
from radar_audit_events.schema import validate_metadata
from radar_audit_hub import changes
from radar_audit_hub.declarations import declared
from radar_audit_hub.store.recording import record
from radar_audit_hub.store.tables import metadata
from sqlalchemy import event, select

from tests.hub.mutation_stage import Call, Stage, staged
from tests.hub.mutations import CASES, Case
from tests.support.hub_builder import HubUnderTest
from tests.support.openid_provider import OpenIdProvider, openid_provider
from tests.support.visitor import CALLBACK

# When a token or a session was last used is stamped beside the request, whatever becomes of it.
STAMPS = frozenset({"last_used_at", "last_seen_at"})
Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenIdProvider]:
    """A provider that all tests of this file share."""
    with openid_provider(tmp_path_factory.mktemp("openid"), CALLBACK) as running:
        yield running


@pytest.fixture
async def stage(template: Path, tmp_path: Path, provider: OpenIdProvider) -> AsyncIterator[Stage]:
    """A hub with somebody and something in it, on which one case is played."""
    async with staged(template, tmp_path, provider) as opened:
        yield opened


def routes_of(hub: HubUnderTest) -> dict[str, tuple[str, ...]]:
    """Return what each route that changes something declares, by `METHOD path`."""
    found = {}
    for route in hub.app.router.routes():
        what = declared(route)
        if what is not None and route.resource is not None:
            found[f"{route.method} {route.resource.canonical}"] = what.events or ()
    return found


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


def test_every_mutating_route_has_a_case(hub: HubUnderTest) -> None:
    assert {case.route for case in CASES} == set(routes_of(hub)), "tests/hub/mutations.py"


def test_each_declared_action_is_written_by_a_case(hub: HubUnderTest) -> None:
    for route, actions in routes_of(hub).items():
        written = {name for case in CASES if case.route == route for name in case.writes}
        captured = {name for name in written if name.startswith("pod.")}
        assert written - captured == set(actions), route


def test_each_action_of_the_contract_is_made_by_a_request() -> None:
    told = "POST /api/orgs/{org_id}/audit/events"  # another control plane's word is no mutation
    made = {name for case in CASES if case.route != told for name in case.writes}
    contract = {name for name, action in ACTIONS.items() if not action.extension}
    assert len(contract) == 24
    assert contract <= made


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


FAULTS: tuple[Callable[..., Any], ...] = (
    broken_before_the_events,
    broken_after_the_events,
    broken_at_the_commit,
)


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_request_writes_exactly_its_events_and_a_fault_leaves_nothing(
    stage: Stage, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = stage.hub
    call = await case.ask(stage)
    for fault in faults_of(case):
        before = await dump(hub)
        with fault(hub, monkeypatch):
            answer = await call.send(hub)
        assert answer.status in (500, 503), (fault.__name__, answer.body)
        after = await dump(hub)
        changed = {name for name in before if before[name] != after[name]}
        assert changed <= set(case.keeps), fault.__name__
        if not case.repeats:
            call = await case.ask(stage)
    before = await dump(hub)
    answer = await call.send(hub)
    assert answer.status == case.status, answer.body
    events = events_between(before, await dump(hub))
    check_events(case, call, events)


def check_events(case: Case, call: Call, events: list[dict[str, Any]]) -> None:
    """Check that the events are the case's, in their order, each with metadata of the table."""
    assert tuple(row["action"] for row in events) == case.writes
    for row in events:
        validate_metadata(row["action"], json.loads(row["metadata"]))
        assert row["target_type"] == ACTIONS[row["action"]].target_type
    if call.token == "":  # the owner's PAT, which every one of its events names
        tokens = [json.loads(row["metadata"]).get("via_pat") for row in events]
        assert tokens == ["token 1"] * len(events)


def faults_of(case: Case) -> tuple[Callable[..., Any], ...]:
    """Return what can break: a report, and what writes no event, has no step between the two."""
    if not case.stores:
        return ()
    return (broken_at_the_commit,) if case.reports or not case.writes else FAULTS
