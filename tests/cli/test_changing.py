"""Changes that a command makes: sent once, asked about first, and told what became of them."""

from __future__ import annotations

import os
import pty
import subprocess
from contextlib import suppress

import pytest
from radar_audit_cli.errors import RefusedError, UnreachableError
from radar_audit_cli.transport import Transport

from tests.cli.conftest import PROGRAM, Cli
from tests.cli.contract_hub import ORG, TOKEN, ContractHub, problem

CLUSTERS = [
    {"id": "cl_1", "name": "prod", "environment": "production"},
    {"id": "cl_2", "name": "twin", "environment": "staging"},
    {"id": "cl_3", "name": "twin", "environment": "staging"},
]
DELETE = f"DELETE /orgs/{ORG}/clusters/cl_1"


@pytest.fixture
def filled(hub: ContractHub) -> ContractHub:
    hub.answers = {f"GET /orgs/{ORG}/clusters": CLUSTERS, DELETE: None}
    return hub


def _transport(url: str, pauses: list[float]) -> Transport:
    return Transport(url, TOKEN, sleep=pauses.append)


def _change(transport: Transport) -> bytes:
    with transport.change("POST", "/things", b'{"a": 1}') as answer:
        return answer.body(1000)


def test_a_change_waits_for_its_turn_and_is_made_once(hub: ContractHub) -> None:
    hub.answers = {"POST /things": {"id": "x"}}
    hub.faults = [problem(429, "too_many_requests", "slowly", retry_after=7)]
    pauses: list[float] = []
    assert _change(_transport(hub.url, pauses)) == b'{"id": "x"}'
    assert (pauses, hub.sent) == ([7], [("POST /things", {"a": 1})])
    assert hub.requests[-1].headers["Content-Type"] == "application/json"


def test_a_change_is_not_sent_again_where_it_may_have_been_made(hub: ContractHub) -> None:
    hub.faults = [problem(503, "unavailable", "the database is away", retry_after=1)]
    pauses: list[float] = []
    with pytest.raises(RefusedError, match="the database is away"):
        _change(_transport(hub.url, pauses))
    hub.hangs_up = 1
    with pytest.raises(UnreachableError, match="may have been made or not") as caught:
        _change(_transport(hub.url, pauses))
    assert caught.value.hint is not None
    assert "look at what is there" in caught.value.hint
    assert (pauses, len(hub.requests)) == ([], 2)


def test_a_hub_that_is_away_has_surely_made_no_change() -> None:
    with pytest.raises(UnreachableError, match="cannot connect") as caught:
        _change(_transport("http://127.0.0.1:1", []))
    assert "may have been made" not in caught.value.message


def test_a_script_without_yes_changes_nothing(filled: ContractHub, cli: Cli) -> None:
    for command in (
        ("clusters", "delete", "prod"),
        ("clusters", "rotate-token", "prod"),
        ("members", "remove", "bob@acme.com"),
        ("members", "leave"),
        ("pats", "revoke", "ci"),
        ("invitations", "revoke", "bob@acme.com"),
        ("orgs", "delete"),
    ):
        result = cli(*command)
        assert result.code == 2
        assert "cannot be undone, and there is no terminal to ask on" in result.err
        assert "hint: check what it names, then add --yes" in result.err
    assert filled.requests == []


def test_a_script_with_yes_is_not_asked(filled: ContractHub, cli: Cli) -> None:
    result = cli("clusters", "delete", "prod", "--yes")
    assert (result.code, result.out, result.err) == (0, "", "cluster prod deleted\n")
    assert filled.sent[-1] == (DELETE, None)


def _typed(answer: bytes, *arguments: str) -> tuple[int, str]:
    """Run a command whose standard input and error are a terminal on which `answer` is typed."""
    main, terminal = pty.openpty()
    process = subprocess.Popen([PROGRAM, *arguments], stdin=terminal, stderr=terminal)
    os.close(terminal)
    os.write(main, answer)
    shown = b""
    with suppress(OSError):  # what Linux says when the other end is closed
        while chunk := os.read(main, 4096):
            shown += chunk
    os.close(main)
    return process.wait(timeout=30), shown.decode()


def test_a_person_has_to_type_the_name(filled: ContractHub) -> None:
    code, shown = _typed(b"yes\n", "clusters", "delete", "prod")
    assert code == 2
    assert "This deletes the cluster prod (cl_1)." in shown
    assert "nothing was done: what was typed is not prod" in shown
    assert DELETE not in [asked for asked, _ in filled.sent]
    code, shown = _typed(b"prod\n", "clusters", "delete", "prod")
    assert code == 0, shown
    assert "Type prod to go on" in shown
    assert filled.sent[-1] == (DELETE, None)


@pytest.mark.parametrize("answer", [b"\n", b"\x04"])
def test_no_answer_is_no_yes(filled: ContractHub, answer: bytes) -> None:
    code, _ = _typed(answer, "clusters", "delete", "prod")
    assert code == 2
    assert DELETE not in [asked for asked, _ in filled.sent]


def test_an_org_is_left_and_deleted_by_its_own_name(hub: ContractHub, cli: Cli) -> None:
    org = f"/orgs/{ORG}"
    hub.answers = {
        f"GET {org}": {"id": ORG, "name": "Acme"},
        f"DELETE {org}": None,
        f"DELETE {org}/members/user_alice": None,
    }
    left = cli("members", "leave", "--yes")
    assert (left.code, left.err) == (0, f"you are no longer a member of {ORG}\n")
    gone = cli("orgs", "delete", "--yes")
    assert (gone.code, gone.err) == (0, f"organization {ORG} deleted\n")
    assert [asked for asked, _ in hub.sent] == [
        f"DELETE {org}/members/user_alice",
        f"GET {org}",
        f"DELETE {org}",
    ]


def test_a_name_that_several_have_is_refused_with_their_ids(filled: ContractHub, cli: Cli) -> None:
    result = cli("clusters", "delete", "twin", "--yes")
    assert result.code == 2
    assert "2 clusters are called 'twin'" in result.err
    assert "name one: cl_2, cl_3" in result.err
    missing = cli("clusters", "delete", "gone", "--yes")
    assert missing.code == 1
    assert "there is no cluster 'gone'" in missing.err
    assert "radar-audit clusters list" in missing.err
    assert cli("clusters", "delete", " ", "--yes").code == 2
    assert cli("clusters", "delete", "PROD", "--yes").code == 0


def test_an_id_works_where_the_list_may_not_be_read(filled: ContractHub, cli: Cli) -> None:
    filled.faults = [
        problem(403, "forbidden", "this needs a token with the scope org:read"),
    ]
    assert cli("clusters", "delete", "cl_1", "--yes", "--org", ORG).code == 0
    filled.faults = [
        problem(403, "forbidden", "this needs a token with the scope org:read"),
    ]
    result = cli("clusters", "delete", "prod", "--yes", "--org", ORG)
    assert result.code == 1
    assert "org:read" in result.err


def test_long_lists_come_page_by_page(filled: ContractHub, cli: Cli) -> None:
    rows = [{"id": f"cl_{n}", "name": f"c{n}"} for n in range(1100)]
    filled.answers[f"GET /orgs/{ORG}/clusters"] = rows
    everything = cli("clusters", "list", "--all", "-o", "name", "--org", ORG)
    assert everything.out.split() == [row["id"] for row in rows]
    assert len(filled.requests) == 3
    some = cli("clusters", "list", "--limit", "2", "-o", "name")
    assert some.out.split() == ["cl_0", "cl_1"]
    assert some.err == "2 shown, there may be more: --limit N or --all\n"
    filled.answers[f"GET /orgs/{ORG}/clusters"] = []
    none = cli("clusters", "list", "-o", "json")
    assert (none.out, none.err) == ("[]\n", "no clusters\n")


def test_times_are_the_persons_own_in_tables_only(
    filled: ContractHub, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    at = "2026-11-24T10:00:00.123Z"
    filled.answers[f"GET /orgs/{ORG}/clusters"] = [{**CLUSTERS[0], "agent": {"last_seen_at": at}}]
    assert "2026-11-24 10:00:00" in cli("clusters", "list", "--utc").out
    assert at in cli("clusters", "list", "-o", "csv").out
