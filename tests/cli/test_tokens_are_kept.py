"""Tokens that the hub shows once: where they go, and where they never do."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import click
import pytest
from radar_audit_cli.lazy import load
from radar_audit_cli.main import _TABLE

from tests.cli.conftest import Cli
from tests.cli.contract_hub import ORG, TOKEN, ContractHub, problem

SECRET = "rhc_" + "s" * 43
MAKE = ("clusters", "create", "prod", "--environment", "production")
FORMS = ("table", "wide", "json", "yaml", "ndjson", "csv")


@pytest.fixture
def making(hub: ContractHub) -> ContractHub:
    made = {"id": "cl_1", "name": "prod", "token": SECRET}
    hub.answers = {
        f"POST /orgs/{ORG}/clusters": made,
        f"POST /orgs/{ORG}/pats": {"id": "pat_1", "name": "ci", "token": SECRET},
        f"POST /orgs/{ORG}/clusters/cl_1/rotate-token": made,
        f"GET /orgs/{ORG}/clusters": [{"id": "cl_1", "name": "prod"}],
    }
    return hub


@pytest.mark.parametrize("form", FORMS)
def test_a_token_is_shown_once_with_a_warning(making: ContractHub, cli: Cli, form: str) -> None:
    result = cli(*MAKE, "-o", form)
    assert result.code == 0, result.err
    assert result.out.count(SECRET) == 1
    assert result.err == "the token is shown this once only: keep it like a password\n"


@pytest.mark.parametrize("form", [*FORMS, "name"])
def test_a_token_goes_to_a_file_of_its_owner_and_nowhere_else(
    making: ContractHub, cli: Cli, tmp_path: Path, form: str
) -> None:
    place = tmp_path / "prod.token"
    result = cli(*MAKE, "--token-file", str(place), "-o", form, "--verbose")
    assert result.code == 0, result.err
    assert place.read_text() == SECRET + "\n"
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert "cl_1" in result.out
    assert SECRET not in result.out + result.err
    assert TOKEN not in result.out + result.err
    assert [path.name for path in tmp_path.glob("*token*")] == ["prod.token"]
    assert not list(tmp_path.glob(".token-*"))


def test_no_token_is_made_that_could_not_be_kept(
    making: ContractHub, cli: Cli, tmp_path: Path
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("old")
    link = tmp_path / "link"
    link.symlink_to(taken)
    for arguments, said in (
        (("--token-file", str(taken)), "is already there"),
        (("--token-file", str(link), "--force"), "is no regular file"),
        (("--token-file", str(tmp_path / "none" / "x")), "cannot be written"),
        (("-o", "name"), "-o name does not show the token"),
        (("--force",), "--force needs a file"),
    ):
        result = cli(*MAKE, *arguments)
        assert result.code == 2
        assert said in result.err
    assert taken.read_text() == "old"
    assert making.sent == []


def test_a_refused_request_leaves_no_file(making: ContractHub, cli: Cli, tmp_path: Path) -> None:
    making.faults = [problem(402, "plan_limit", "the plan free allows 3 clusters")]
    place = tmp_path / "prod.token"
    result = cli(*MAKE, "--token-file", str(place), "--org", ORG)
    assert result.code == 1
    assert "the plan free allows 3 clusters" in result.err
    assert not [path for path in tmp_path.iterdir() if "token" in path.name]


def test_a_rotated_token_replaces_the_old_one_with_force(
    making: ContractHub, cli: Cli, tmp_path: Path
) -> None:
    place = tmp_path / "prod.token"
    place.write_text("old")
    place.chmod(0o644)
    rotate = ("clusters", "rotate-token", "prod", "--yes", "--token-file", str(place))
    assert cli(*rotate).code == 2
    assert cli(*rotate, "--force").code == 0
    assert place.read_text() == SECRET + "\n"
    assert stat.S_IMODE(place.stat().st_mode) == 0o600


def test_an_answer_without_a_token_is_told(making: ContractHub, cli: Cli) -> None:
    making.answers[f"POST /orgs/{ORG}/pats"] = {"id": "pat_1", "token": None}
    result = cli("pats", "create", "ci")
    assert result.code == 1
    assert "without the token" in result.err


def test_a_new_pat_has_the_scopes_and_the_end_that_were_asked_for(
    making: ContractHub, cli: Cli
) -> None:
    make = ("pats", "create", "ci", "--scope", "audit:read", "--scope", "audit:read")
    assert cli(*make, "--expires", "2099-12-31", "-o", "json").code == 0
    assert making.sent[-1][1] == {
        "name": "ci",
        "scopes": ["audit:read"],
        "expires_at": "2100-01-01T00:00:00.000Z",
    }
    assert cli("pats", "create", "ci", "--expires", "90d").code == 0
    for wrong, said in (("2020-01-01", "is past"), ("soon", "write 90d, 12h"), ("0d", "90d")):
        result = cli("pats", "create", "ci", "--expires", wrong)
        assert result.code == 2
        assert said in result.err
    assert cli("pats", "create", "ci", "--scope", "everything").code == 2


def test_no_command_takes_a_token_as_an_argument() -> None:
    """A command line is in the process list and in the shell's history."""
    for name, (place, _) in _TABLE.items():
        group = load(place)
        commands = group.commands.values() if isinstance(group, click.Group) else [group]
        for command in commands:
            for option in command.params:
                words = {word.lstrip("-") for word in option.opts}
                assert not words & {"token", "pat", "secret", "password"} or (
                    isinstance(option, click.Argument)
                    and (name, command.name) == ("pats", "revoke")
                )


def test_a_token_typed_in_place_of_its_name_is_not_repeated(making: ContractHub, cli: Cli) -> None:
    making.answers[f"GET /orgs/{ORG}/pats"] = []
    result = cli("pats", "revoke", "rhp_" + "z" * 43, "--yes")
    assert result.code == 2
    assert "zzz" not in result.err
    assert "revoke it by its name or id" in result.err
    assert json.dumps(making.sent).find("zzz") == -1
