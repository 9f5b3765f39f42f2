"""`show`, `facets` and `whoami`: one event, the counts, the person."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.cli.conftest import Cli
from tests.cli.contract_hub import TOKEN, ContractHub, make_event


def test_show_gives_every_field_in_each_form(hub: ContractHub, cli: Cli) -> None:
    event = make_event(0)
    hub.events = [event]
    assert json.loads(cli("show", event["id"], "-o", "json").out) == event
    assert yaml.safe_load(cli("show", event["id"], "-o", "yaml").out) == event
    assert cli("show", event["id"], "-o", "name").out == f"{event['id']}\n"
    table = cli("show", event["id"], "--utc").out
    assert "created_at             2026-11-24 10:00:00.000+0000" in table
    assert "metadata.namespace     payments" in table
    picked = cli("show", event["id"], "--fields", "metadata.pod", "-o", "json").out
    assert json.loads(picked) == {"metadata": {"pod": "api-0"}}


def test_an_event_that_is_not_to_be_seen_is_an_error_with_a_reason(
    hub: ContractHub, cli: Cli
) -> None:
    result = cli("show", make_event(1)["id"])
    assert result.code == 1
    assert "there is no such event" in result.err
    assert "it may have expired" in result.err


@pytest.mark.parametrize("event_id", ["..", "ae_/../x", "ae_%2e", "", "org_1", "ae_a?b"])
def test_what_is_no_events_id_is_never_put_into_a_path(
    hub: ContractHub, cli: Cli, event_id: str
) -> None:
    assert cli("show", event_id).code == 2
    assert hub.requests == []


def test_facets_count_by_each_facet(hub: ContractHub, cli: Cli) -> None:
    hub.events = [make_event(seq) for seq in range(4)]
    assert cli("facets", "-o", "csv").out.split("\r\n") == [
        "FACET,VALUE,COUNT",
        "action,pod.exec_started,4",
        "actor,alice@acme.com,4",
        "target_type,pod,4",
        "total,,4",
        "",
    ]
    assert json.loads(cli("facets", "-o", "json").out)["total"] == 4
    cli("facets", "--include", "recorded_at", "--action", "pat.created")
    assert hub.paths()[-1].endswith("/facets?action=pat.created")


def test_whoami_names_hub_person_org_and_role_but_no_token(hub: ContractHub, cli: Cli) -> None:
    who = json.loads(cli("whoami", "-o", "json").out)
    assert (who["url"], who["email"], who["role"]) == (hub.url, "alice@acme.com", "owner")
    assert cli("whoami", "-o", "name").out == "alice@acme.com\n"
    table = cli("whoami").out
    assert "org_name" in table
    assert TOKEN not in table
