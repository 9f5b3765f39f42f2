"""Every mutating route writes exactly the events that it declares, or nothing at all."""

from __future__ import annotations

from functools import partial

import pytest
from radar_audit_events.actions import ACTIONS
from radar_audit_hub.declarations import declared

from tests.hub.mutation_playing import FAULTS, broken_connection, play
from tests.hub.mutation_stage import Stage, staged
from tests.hub.mutations import CASES, Case
from tests.support.hub_builder import HubUnderTest, running_hub
from tests.support.openid_provider import OpenIdProvider


def routes_of(hub: HubUnderTest) -> dict[str, tuple[str, ...]]:
    """Return what each route of the API that changes something declares, by `METHOD path`.

    The forms of the pages call the same functions: tests/web/test_forms.py.
    """
    found = {}
    for route in hub.app.router.routes():
        what = declared(route)
        if what is None or route.resource is None:
            continue
        if route.resource.canonical.startswith("/api/"):
            found[f"{route.method} {route.resource.canonical}"] = what.events or ()
    return found


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


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_request_writes_exactly_its_events_and_a_fault_leaves_nothing(
    stage: Stage, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    await play(stage, case, FAULTS, monkeypatch)


async def test_a_lost_connection_leaves_neither_mutation_nor_event(
    postgres_url: str, provider_of_stage: OpenIdProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with staged(
        partial(running_hub, postgres_url, migrated=True), provider_of_stage
    ) as opened:
        for case in CASES:
            if case.route in ("POST /api/orgs", "POST /api/orgs/{org_id}/pats"):
                await play(opened, case, (broken_connection,), monkeypatch)
