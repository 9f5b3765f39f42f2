"""Every administering command, as people type it, against the real hub."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from radar_audit_events.ids import format_ms

from tests.cli.conftest import Cli, Result
from tests.cli.real_hub import RealHub


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealHub]:
    hub = RealHub(tmp_path_factory.mktemp("hub"))
    hub.start()
    yield hub
    hub.kill()


@pytest.fixture
def real(running: RealHub, monkeypatch: pytest.MonkeyPatch) -> RealHub:
    monkeypatch.setenv("RADAR_AUDIT_URL", running.url)
    monkeypatch.setenv("RADAR_AUDIT_TOKEN", running.token)
    return running


def _json(result: Result) -> Any:
    assert result.code == 0, result.err
    return json.loads(result.out)


def _last_action(cli: Cli) -> tuple[str, str | None]:
    """The newest event's action and the token that it was done with."""
    (event,) = _json(cli("query", "--limit", "1", "-o", "json"))
    return event["action"], event["metadata"].get("via_pat")


def _policy_changes(cli: Cli) -> int:
    return len(_json(cli("query", "action:audit.policy_changed", "--limit", "100", "-o", "json")))


def test_an_org_is_made_changed_and_deleted(
    real: RealHub, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _json(cli("orgs", "create", "Second", "-o", "json"))
    assert made["name"] == "Second"
    assert {real.org, made["id"]} <= set(cli("orgs", "list", "-o", "name").out.split())
    changed = _json(
        cli("orgs", "update", "--name", "Acme", "--default-role", "viewer", "-o", "json")
    )
    assert (changed["name"], changed["default_role"]) == ("Acme", "viewer")
    assert _last_action(cli)[0] == "org.updated"
    shown = cli("orgs", "show").out
    assert "Acme" in shown
    assert "default_role" in shown
    assert cli("orgs", "update").code == 2
    assert cli("orgs", "update", "--domain", "a.com", "--no-domains").code == 2
    refused = cli("orgs", "update", "--domain", "gmail.com")
    assert refused.code == 2
    assert "free-mail domain" in refused.err
    # A token is good for its own org only, so the other one cannot be deleted with it.
    assert cli("orgs", "delete", "--yes", "--org", made["id"]).code == 1


def test_clusters_from_connecting_to_deleting(real: RealHub, cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "stage.token"
    create = ("clusters", "create", "stage", "--environment", "staging", "--label", "team=pay")
    made = _json(cli(*create, "--token-file", str(file), "-o", "json"))
    assert file.read_text().startswith("rhc_")
    assert made["labels"] == {"team": "pay"}
    assert _last_action(cli)[0] == "cluster.created"
    listed = cli("clusters", "list")
    assert "stage" in listed.out
    assert "never" in listed.out
    assert _json(cli("clusters", "show", "stage", "-o", "json"))["id"] == made["id"]
    changed = _json(
        cli("clusters", "update", "stage", "--name", "stage-2", "--no-labels", "-o", "json")
    )
    assert (changed["name"], changed["labels"]) == ("stage-2", {})
    before = file.read_text()
    rotate = ("clusters", "rotate-token", "stage-2", "--yes", "--token-file", str(file), "--force")
    assert cli(*rotate).code == 0
    assert file.read_text() not in (before, "")
    upgrade = _json(cli("clusters", "upgrade-agent", made["id"], "--version", "9.9", "-o", "json"))
    assert upgrade["state"] == "pending"
    assert cli("clusters", "delete", "stage-2", "--yes").code == 0
    assert _last_action(cli)[0] == "cluster.deleted"
    for wrong in ("team", "=pay"):
        assert cli("clusters", "update", "prod", "--label", wrong).code == 2
    assert cli("clusters", "update", "prod").code == 2
    assert cli("clusters", "create", "p", "--environment", "!").code == 2


def test_tokens_from_making_to_revoking(real: RealHub, cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "ci.token"
    make = ("pats", "create", "ci", "--scope", "audit:read", "--expires", "30d")
    made = _json(cli(*make, "--token-file", str(file), "-o", "json"))
    assert made["scopes"] == ["audit:read"]
    who = cli("whoami", "--token-stdin", "-o", "json", stdin=file.read_text())
    assert _json(who)["pat"]["id"] == made["id"]
    assert cli("pats", "create", "forever", "--expires", "never", "-o", "json").code == 0
    assert "ci" in cli("pats", "list", "--user", "all").out
    assert cli("pats", "revoke", "ci", "--yes", "--reason", "rotated").code == 0
    assert _last_action(cli)[0] == "pat.revoked"
    assert cli("whoami", "--token-stdin", stdin=file.read_text()).code == 4


def test_members_are_invited_given_roles_and_removed(
    real: RealHub, cli: Cli, tmp_path: Path
) -> None:
    invited = _json(cli("invitations", "create", "bob@acme.com", "--role", "viewer", "-o", "json"))
    again = _json(cli("invitations", "resend", "bob@acme.com", "-o", "json"))
    assert again["id"] == invited["id"]
    assert again["url"] != invited["url"]
    assert "bob@acme.com" in cli("invitations", "list").out
    link = tmp_path / "link"
    link.write_text(again["url"] + "\n")
    other = cli("invitations", "accept", "--link-file", str(link))
    assert other.code == 1
    assert "another address" in other.err
    assert cli("invitations", "revoke", "bob@acme.com", "--yes").code == 0
    assert _last_action(cli)[0] == "org_invitation.revoked"
    real.token_of("member")
    changed = _json(cli("members", "set-role", "member@acme.com", "auditor", "-o", "json"))
    assert changed["role"] == "auditor"
    assert "member@acme.com" in cli("members", "list").out
    assert cli("members", "remove", "Member@acme.com", "--yes").code == 0
    assert "member@acme.com" not in cli("members", "list").out
    last = cli("members", "leave", "--yes")
    assert last.code == 1
    assert "owner" in last.err


def test_who_was_invited_joins_and_leaves(real: RealHub, cli: Cli) -> None:
    """With a token of another org, by a link on standard input."""
    guest = real.token_of("viewer")
    assert cli("members", "leave", "--yes", "--token-stdin", stdin=guest).code == 0
    invited = _json(cli("invitations", "create", "viewer@acme.com", "-o", "json"))
    no_link = cli("invitations", "accept")
    assert no_link.code == 2
    assert "--link-file" in no_link.err
    for wrong in ("https://audit.example.com/invitations", "two words", ""):
        assert cli("invitations", "accept", "--link-file", "-", stdin=wrong).code == 2
    # The guest's only token went with the membership: the link waits for a session.
    refused = cli("invitations", "accept", "--link-file", "-", stdin=invited["url"])
    assert refused.code == 1


def test_billing_is_shown_and_says_what_is_not_set_up(real: RealHub, cli: Cli) -> None:
    shown = _json(cli("billing", "show", "-o", "json"))
    assert (shown["plan"], shown["limits"], shown["subscription"]) == (
        "enterprise",
        {"clusters": None},
        None,
    )
    for command in (("billing", "checkout", "team"), ("billing", "portal")):
        result = cli(*command)
        assert result.code == 1
        assert result.err.startswith("radar-audit: ")
        assert "(request " in result.err


def _event(key: str, **changes: Any) -> dict[str, Any]:
    created_at = format_ms(time.time_ns() // 1_000_000)
    event = {"key": key, "action": "cluster.deleted", "target_id": "cl_old"}
    more = {"created_at": created_at, "actor": "alice@acme.com", "metadata": {"name": "old"}}
    return event | more | changes


def test_another_control_planes_events_are_recorded_once(
    real: RealHub, cli: Cli, tmp_path: Path
) -> None:
    lines = tmp_path / "events.ndjson"
    lines.write_text("\n".join(json.dumps(_event(f"deploy/{n}")) for n in range(250)) + "\n\n")
    for fate in ("accepted", "duplicate"):
        result = cli("audit", "record", str(lines), "-o", "ndjson")
        assert result.code == 0, result.err
        rows = [json.loads(line) for line in result.out.splitlines()]
        assert [row["event"] for row in rows] == list(range(1, 251))
        assert {row["result"] for row in rows} == {fate}
    one = cli("audit", "record", "-", "-o", "name", stdin=json.dumps(_event("deploy/alone")))
    assert one.code == 0, one.err
    assert one.out.startswith("ae_")
    mixed = [_event("deploy/a"), _event("deploy/b", action="cluster.exploded")]
    result = cli("audit", "record", "-", stdin=json.dumps(mixed))
    assert result.code == 1
    assert "accepted" in result.out
    assert "1 of 2 events were not recorded" in result.err
    for wrong, said in (
        ("[]", "standard input holds no events"),
        ("[1]", "holds no events"),
        ("", "holds no events"),
        ("{}\nnonsense", "line 2 of standard input"),
        ("{}\n[]", "line 2 of standard input"),
    ):
        refused = cli("audit", "record", stdin=wrong)
        assert refused.code == 2
        assert said in refused.err
    assert cli("audit", "record", str(tmp_path / "none")).code == 2
    both = cli("audit", "record", "-", "--token-stdin", stdin="{}")
    assert both.code == 2
    assert "cannot both come from standard input" in both.err


def test_single_sign_on_that_is_not_set_up_is_told(real: RealHub, cli: Cli) -> None:
    result = cli("sso", "portal", "-o", "name")
    assert result.code == 1
    assert "not set up" in result.err
    assert cli("sso", "portal", "--intent", "everything").code == 2


def test_a_role_that_may_not_is_told_which_may(
    real: RealHub, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADAR_AUDIT_TOKEN", real.token_of("auditor"))
    result = cli("clusters", "delete", "prod", "--yes")
    assert result.code == 1
    assert "the role that may do this is owner" in result.err
    monkeypatch.setenv("RADAR_AUDIT_TOKEN", real.token)
    assert _last_action(cli)[0] == "cluster.action_denied"


def test_destinations_from_making_to_deleting(real: RealHub, cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("whsec_" + "canary" * 6 + "\n")
    create = ("destinations", "create", "siem", "--kind", "webhook", "--secret-file", str(file))
    # Where the hub refuses to connect to, so that a test of it fails at once.
    made = _json(cli(*create, "--endpoint", "https://127.0.0.1/in", "-o", "json"))
    assert (made["kind"], made["has_secret"]) == ("webhook", True)
    assert _last_action(cli)[0] == "audit.policy_changed"
    changed = _json(
        cli("destinations", "update", "siem", "--min-severity", "warning", "-o", "json")
    )
    assert changed["settings"]["min_severity"] == "warning"
    assert changed["has_secret"] is True, "what is not given stays"
    file.write_text("whsec_" + "rotate" * 6 + "\n")
    hook = ("update", "siem", "--kind", "webhook", "--endpoint", "https://127.0.0.1/in")
    for more, told in ((("--secret-file", str(file)), 1), (("--end-old",), 1), (("--end-old",), 0)):
        before = _policy_changes(cli)
        assert cli("destinations", *hook, *more).code == 0
        assert _policy_changes(cli) - before == told, "both sign until the old one is ended"
    tested = cli("destinations", "test", "siem", "-o", "json")
    assert tested.code == 1
    assert json.loads(tested.out)["delivered"] is False
    assert "siem" in cli("destinations", "list").out
    log = _json(cli("destinations", "deliveries", "siem", "-o", "json"))
    (failed,) = log if isinstance(log, list) else log["deliveries"]
    assert (failed["kind"], failed["state"]) == ("test", "failed")
    again = _json(cli("destinations", "replay", "siem", failed["id"], "-o", "json"))
    assert again == {"replayed": 0}, "a test is not sent again"
    assert _json(cli("destinations", "enable", "siem", "-o", "json"))["id"] == made["id"]
    for wrong in (
        ("update", "siem"),
        ("update", "siem", "--endpoint", "https://x.test"),
        ("update", "siem", "--end-old"),
        ("create", "x", "--kind", "webhook"),
        *(("create", "x", "--kind", kind) for kind in ("slack", "teams", "pagerduty")),
        ("create", "x", "--kind", "email", "--secret-file", str(file)),
        ("create", "x", "--kind", "pagerduty", "--secret-file", str(file)),
        ("replay", "siem"),
    ):
        refused = cli("destinations", *wrong)
        assert refused.code == 2, wrong
        assert "canary" not in refused.out + refused.err
    assert cli("destinations", "delete", "siem", "--yes").code == 0


def test_one_answer_is_one_object_and_its_times_are_the_hubs(
    real: RealHub, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        for command in (("orgs", "show"), ("billing", "show"), ("whoami",)):
            whole = _json(cli(*command, "-o", "json"))
            (line,) = cli(*command, "-o", "ndjson").out.splitlines()
            assert json.loads(line) == whole, command
        shown = _json(cli("orgs", "show", "-o", "json"))
        rows = dict(csv.reader(io.StringIO(cli("orgs", "show", "-o", "csv").out)))
        assert rows["created_at"] == shown["created_at"]
        assert shown["created_at"] not in cli("orgs", "show").out
    finally:
        monkeypatch.undo()
        time.tzset()


def test_inbox_is_listed_and_read(real: RealHub, cli: Cli) -> None:
    assert cli("inbox", "list", "--unread", "-o", "json").code == 0
    assert "0 not read" in cli("inbox", "read", "--all").err
    assert cli("inbox", "read").code == 2
