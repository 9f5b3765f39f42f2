"""`query`: paging, forms, fields, filters and what is refused before anything is sent."""

from __future__ import annotations

import csv
import io
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from tests.cli.conftest import Cli
from tests.cli.contract_hub import ORG, ContractHub, Fault, make_event


def _asked(hub: ContractHub) -> dict[str, list[str]]:
    return parse_qs(urlsplit(hub.paths()[-1]).query)


def test_pages_are_followed_until_the_limit(hub: ContractHub, cli: Cli) -> None:
    hub.events = [make_event(seq) for seq in range(25)]
    hub.page_events = 10
    result = cli("query", "--limit", "15", "-o", "name")
    assert result.out.split() == [event["id"] for event in hub.events[:9:-1]]
    assert "there may be more" in result.err
    assert result.code == 0


def test_all_reads_every_page_and_says_nothing_of_more(hub: ContractHub, cli: Cli) -> None:
    hub.events = [make_event(seq) for seq in range(25)]
    hub.page_events = 10
    result = cli("query", "--all", "-o", "ndjson")
    assert [json.loads(line) for line in result.out.splitlines()] == hub.events[::-1]
    assert result.err == ""


def test_an_empty_page_with_a_cursor_is_not_taken_for_the_end(hub: ContractHub, cli: Cli) -> None:
    hub.events = [make_event(0)]
    pages: list[dict[str, Any]] = [
        {"events": [], "next_cursor": "0"},
        {"events": hub.events, "next_cursor": None},
    ]
    hub.faults = [Fault(200, page) for page in pages]
    result = cli("query", "-o", "name", "--org", ORG)
    assert result.out.split() == [hub.events[0]["id"]]


def test_json_is_a_list_that_holds_the_whole_events(hub: ContractHub, cli: Cli) -> None:
    hub.events = [make_event(seq) for seq in range(3)]
    hub.page_events = 2
    assert json.loads(cli("query", "-o", "json").out) == hub.events[::-1]


def test_yaml_holds_the_whole_events(hub: ContractHub, cli: Cli) -> None:
    hub.events = [make_event(seq, actor_email=None) for seq in range(3)]
    assert yaml.safe_load(cli("query", "-o", "yaml").out) == hub.events[::-1]


@pytest.mark.parametrize("form, empty", [("json", "[]\n"), ("yaml", "[]\n"), ("table", "")])
def test_nothing_is_an_empty_list(hub: ContractHub, cli: Cli, form: str, empty: str) -> None:
    result = cli("query", "-o", form)
    assert (result.out, result.code) == (empty, 0)
    assert "nothing matched" in result.err


def test_csv_has_the_hubs_own_columns_and_disarms_formulas(hub: ContractHub, cli: Cli) -> None:
    hub.events = [make_event(0, target_id="=1+1", metadata={"via_pat": "ci", "n": 1})]
    out = cli("query", "-o", "csv").out
    assert out.count("\r\n") == 2
    row = next(csv.DictReader(io.StringIO(out, newline="")))
    assert list(row) == [
        "id",
        "created_at",
        "action",
        "target_type",
        "target_id",
        "actor_user_id",
        "actor_email",
        "via_pat",
        "metadata",
    ]
    assert row["target_id"] == "'=1+1"
    assert row["via_pat"] == "ci"
    assert json.loads(row["metadata"]) == {"via_pat": "ci", "n": 1}


def test_a_table_in_a_pipe_is_plain_aligned_and_whole(hub: ContractHub, cli: Cli) -> None:
    long_name = "p" * 150
    metadata = {"cluster_name": "prod", "namespace": "pay", "pod": long_name, "container": "app"}
    hub.events = [make_event(0), make_event(1, metadata=metadata)]
    lines = cli("query", "--utc").out.splitlines()
    assert lines[0].split() == ["TIME", "(UTC)", "ACTOR", "ACTION", "TARGET", "DETAILS"]
    assert f"prod/pay/{long_name}:app" in lines[1]
    assert lines[1].startswith("2026-11-24 10:00:01  alice@acme.com  pod.exec_started")
    assert lines[2].index("prod/payments/api-0") == lines[1].index("prod/pay/")
    assert "\x1b" not in "".join(lines)


def test_wide_adds_id_and_seq(hub: ContractHub, cli: Cli) -> None:
    hub.events = [make_event(7)]
    line = cli("query", "-o", "wide", "--utc").out.splitlines()[1]
    assert line.split()[-2:] == ["7", hub.events[0]["id"]]
    assert "10:00:07.000+0000" in line


def test_control_and_bidi_characters_reach_no_table_or_json_raw(hub: ContractHub, cli: Cli) -> None:
    nasty = "x\x1b[2J\u202egnp.exe\n\u009b31m\u200b"
    hub.events = [make_event(0, actor_email=nasty, metadata={"name": nasty})]
    for form in ("table", "wide", "json", "ndjson", "yaml", "name"):
        out = cli("query", "-o", form).out
        assert not set(out.replace("\n", "")) & set("\x1b\u202e\u009b\u200b"), form
    event = json.loads(cli("query", "-o", "ndjson").out)
    assert event["actor_email"] == nasty
    assert yaml.safe_load(cli("query", "-o", "yaml").out)[0]["actor_email"] == nasty
    assert r"x\x1b[2J\u202egnp.exe\n\x9b31m\u200b" in cli("query").out


def test_fields_keep_their_place_in_json_and_become_columns_elsewhere(
    hub: ContractHub, cli: Cli
) -> None:
    labels = {"app.kubernetes.io/name": "api"}
    hub.events = [make_event(0, metadata={"namespace": "pay", "labels": labels})]
    asked = (
        "query",
        "--fields",
        "action,metadata.namespace,metadata.labels.app.kubernetes.io/name",
    )
    assert json.loads(cli(*asked, "-o", "ndjson").out) == {
        "action": "pod.exec_started",
        "metadata": {"namespace": "pay", "labels.app.kubernetes.io/name": "api"},
    }
    lines = cli(*asked, "-o", "csv").out.split("\r\n")
    assert lines[:2] == [
        "action,metadata.namespace,metadata.labels.app.kubernetes.io/name",
        "pod.exec_started,pay,api",
    ]


def test_an_unknown_field_is_refused_with_the_nearest_one(hub: ContractHub, cli: Cli) -> None:
    result = cli("query", "--fields", "acton")
    assert result.code == 2
    assert "'acton'; is action meant" in result.err
    assert hub.requests == []


def test_filters_become_the_contracts_parameters(hub: ContractHub, cli: Cli) -> None:
    result = cli(
        *("query", "--action", "pod.*", "--action", "token", "--type", "pod", "--type", "pat"),
        *("--actor", "alice@acme.com", "--target", "cl_1/*", "--include", "recorded_at"),
        *("--from", "2026-11-01", "--to", "2026-11-08", "--limit", "7"),
        *("namespace:pay*", "-actor:bot@acme.com", "hello", "world"),
    )
    assert result.code == 0
    asked = _asked(hub)
    assert sorted(asked.pop("q")[0].split()) == [
        "-actor:bot@acme.com",
        "hello",
        "namespace:pay*",
        "world",
    ]
    assert asked == {
        "action": ["pod.*", "token"],
        "target_type": ["pod", "pat"],
        "actor": ["alice@acme.com"],
        "target": ["cl_1/*"],
        "include": ["recorded_at"],
        "from": ["2026-11-01T00:00:00.000Z"],
        "to": ["2026-11-09T00:00:00.000Z"],
        "limit": ["7"],
    }


def test_words_behind_two_dashes_are_never_options(hub: ContractHub, cli: Cli) -> None:
    assert cli("query", "--", "-hello", "-o").code == 0
    assert _asked(hub)["q"] == ["-hello -o"]


def test_a_wrong_query_is_pointed_at_and_never_sent(hub: ContractHub, cli: Cli) -> None:
    result = cli("query", "action:pod.*", "nope:x", "hello")
    assert result.code == 2
    lines = result.err.splitlines()
    assert "position 13" in lines[0]
    assert lines[1] == "  action:pod.* nope:x hello"
    assert lines[2].index("^") == lines[1].index("nope")
    assert hub.requests == []


def test_the_caret_stays_below_the_mistake_in_a_long_query(hub: ContractHub, cli: Cli) -> None:
    result = cli("query", f'"{"w" * 300}" nope:x "{"w" * 300}"')
    _, excerpt, caret = result.err.splitlines()
    assert excerpt[caret.index("^") :].startswith("nope:x")
    assert len(excerpt) < 130


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("--range", "24h", "--from", "2026-11-01"), "one or the other"),
        (("--from", "yesterday"), "--from 'yesterday' is neither"),
        (("--to", "2026-13-01"), "--to '2026-13-01' is neither"),
        (("--range", "8d"), "'8d' is not one of"),
        (("--limit", "0"), "--limit"),
        (("-o", "xml"), "'xml' is not one of"),
        (("--org", "acme"), "'acme' is no organization's id"),
        (("--actor", "a\nb"), "no event can have"),
    ],
)
def test_a_mistake_in_the_options_is_refused_before_anything_is_sent(
    hub: ContractHub, cli: Cli, arguments: tuple[str, ...], said: str
) -> None:
    result = cli("query", *arguments)
    assert (result.code, result.out) == (2, "")
    assert said in result.err
    assert hub.requests == []


def test_exit_code_5_only_where_it_is_asked_for_and_nothing_matches(
    hub: ContractHub, cli: Cli
) -> None:
    assert cli("query").code == 0
    assert cli("query", "--exit-code").code == 5
    hub.events = [make_event(0)]
    assert cli("query", "--exit-code").code == 0


def test_the_org_is_asked_for_once_and_only_if_none_is_named(hub: ContractHub, cli: Cli) -> None:
    hub.events = [make_event(seq) for seq in range(3)]
    hub.page_events = 1
    cli("query")
    assert [path for path in hub.paths() if path == "/api/me"] == ["/api/me"]
    hub.requests.clear()
    cli("query", "--org", ORG)
    assert "/api/me" not in hub.paths()


def test_an_answer_that_is_no_hubs_is_said_to_be_so(hub: ContractHub, cli: Cli) -> None:
    answers: list[dict[str, Any] | str] = [
        "<html>",
        {"events": "no"},
        {"events": [1]},
        {"events": [], "next_cursor": 7},
    ]
    for document in answers:
        hub.faults = [Fault(200, document)]
        result = cli("query", "--org", ORG)
        assert result.code == 1
        assert "does not answer like a hub" in result.err


@pytest.mark.parametrize("option", ["--actor", "--target", "--action", "--type", "--from", "--to"])
def test_an_empty_value_does_not_ask_for_everything(
    hub: ContractHub, cli: Cli, option: str
) -> None:
    result = cli("query", option, "")
    assert (result.code, result.out) == (2, "")
    assert f"{option} is empty" in result.err
    assert hub.requests == []
