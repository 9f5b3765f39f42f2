"""Contexts: the file that holds tokens, and which hub and token a command takes."""

from __future__ import annotations

import json
import os
import pty
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from radar_audit_cli.connection import Connection, Target, resolve
from radar_audit_cli.contexts import Context, Contexts, config_path, read_contexts, write_contexts
from radar_audit_cli.errors import ArgumentError, CliError, LoginError

from tests.cli.conftest import PROGRAM, Cli
from tests.cli.contract_hub import TOKEN, ContractHub

OTHER = "rhp_other"


def _file() -> Path:
    return config_path(os.environ)


def _add(cli: Cli, name: str, url: str, *more: str, token: str = TOKEN) -> None:
    assert cli("context", "add", name, "--url", url, "--token-stdin", *more, stdin=token).code == 0


def test_the_file_is_its_owners_only_and_is_replaced_as_a_whole(cli: Cli) -> None:
    _add(cli, "prod", "https://audit.example.com/")
    _add(cli, "dev", "http://127.0.0.1:8080", "--org", "org_1")
    assert stat.S_IMODE(_file().stat().st_mode) == 0o600
    assert stat.S_IMODE(_file().parent.stat().st_mode) == 0o700
    assert [path.name for path in _file().parent.iterdir()] == ["config.json"]
    stored = read_contexts(_file())
    assert stored.current == "prod"
    assert stored.named["prod"] == Context("https://audit.example.com", token=TOKEN)
    assert stored.named["dev"].org == "org_1"


def test_a_file_that_others_can_read_is_refused_with_the_cure(cli: Cli) -> None:
    _add(cli, "prod", "https://audit.example.com")
    for mode in (0o640, 0o604, 0o620):
        _file().chmod(mode)
        for command in (("query",), ("context", "list"), ("context", "use", "prod")):
            result = cli(*command)
            assert result.code == 1
            assert f"chmod 600 {_file()}" in result.err


def test_no_command_prints_a_token(cli: Cli) -> None:
    _add(cli, "prod", "https://audit.example.com")
    for form in ("table", "wide", "json", "yaml", "ndjson", "csv", "name"):
        for command in ("list", "current"):
            result = cli("context", command, "-o", form)
            assert result.code == 0
            assert "prod" in result.out
            assert "rhp_" not in result.out + result.err
    assert "rhp_" not in repr(read_contexts(_file()))
    assert "rhp_" not in repr(Target("https://x", TOKEN, None, None))


def test_use_current_and_remove_change_what_is_in_use(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    _add(cli, "a", "https://a.example.com")
    _add(cli, "b", "https://b.example.com")
    assert cli("context", "use", "b").code == 0
    assert json.loads(cli("context", "current", "-o", "ndjson").out)["name"] == "b"
    assert cli("context", "remove", "b").code == 0
    assert cli("context", "current").code == 5
    monkeypatch.setenv("RADAR_AUDIT_CONTEXT", "a")
    assert cli("context", "current", "-o", "name").out == "a\n"
    monkeypatch.delenv("RADAR_AUDIT_CONTEXT")
    assert cli("context", "list", "-o", "name").out == "a\n"
    unknown = cli("context", "use", "c")
    assert unknown.code == 2
    assert "there are: a" in unknown.err


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"contexts": {"a": 1}}', '{"contexts": {"a": {"url": 1}}}']
)
def test_a_broken_file_is_named_and_never_a_crash(cli: Cli, content: str) -> None:
    _file().parent.mkdir(parents=True)
    _file().write_text(content)
    _file().chmod(0o600)
    result = cli("context", "list")
    assert result.code == 1
    assert f"{_file()} is not a file of contexts" in result.err


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    write_contexts(path, Contexts({"a": Context("https://a")}, "a"))
    surrogate = Context("https://b", org="\ud800")
    (tmp_path / "folder").mkdir()
    with pytest.raises(CliError):
        write_contexts(tmp_path / "folder", Contexts({"b": surrogate}))
    assert read_contexts(path).current == "a"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["config.json", "folder"]


@pytest.mark.parametrize(
    "url",
    [
        "audit.example.com",
        "ftp://audit.example.com",
        "https://",
        "https://user:geheim@audit.example.com",
        "https://user:geheim",
        "https://audit.example.com?token=geheim",
        "https://audit.example.com/#x",
        "https://audit.example.com:99999",
        "https://[::1",
        "https://a\x1b.example.com",
    ],
)
def test_an_address_that_cannot_be_one_is_refused_without_repeating_it(cli: Cli, url: str) -> None:
    result = cli("context", "add", "x", "--url", url)
    assert result.code == 2
    assert "geheim" not in result.err
    assert not _file().exists()


def test_plain_http_to_another_machine_needs_a_word(cli: Cli) -> None:
    refused = cli("context", "add", "x", "--url", "http://10.0.0.1:8080")
    assert refused.code == 2
    assert "--insecure-http" in refused.err
    assert cli("query", "--url", "http://audit.example.com", "--org", "org_1").code == 2
    _add(cli, "x", "http://10.0.0.1:8080", "--insecure-http")
    assert resolve(Connection(), os.environ, _no_stdin).url == "http://10.0.0.1:8080"
    with pytest.raises(ArgumentError):  # the word was for that address only
        resolve(Connection(url="http://10.0.0.2:8080"), os.environ, _no_stdin)
    for loopback in ("http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"):
        _add(cli, "y", loopback)


def test_a_token_of_the_wrong_kind_is_refused_without_repeating_it(cli: Cli) -> None:
    for token in ("", "rhc_geheim", "geheim", "rhp_ge heim", "rhp_geheim\x00", "rhp_ü"):
        result = cli("context", "add", "x", "--url", "https://a", "--token-stdin", stdin=token)
        assert result.code == 4
        assert "heim" not in result.err
    assert not _file().exists()


def test_a_token_is_asked_for_on_a_terminal_and_not_shown() -> None:
    terminal, other_side = pty.openpty()
    process = subprocess.Popen(
        [PROGRAM, "context", "add", "prod", "--url", "https://a"],
        stdin=other_side,
        stdout=other_side,
        stderr=other_side,
        start_new_session=True,
    )
    os.close(other_side)
    output = b""
    with suppress(OSError):  # Linux: reading fails once the other side is closed
        while piece := os.read(terminal, 4096):
            output += piece
            if output.endswith(b"): "):
                os.write(terminal, TOKEN.encode() + b"\n")
    os.close(terminal)
    assert process.wait(timeout=20) == 0
    assert b"rhp_t" not in output
    assert read_contexts(_file()).named["prod"].token == TOKEN


def test_names_of_contexts_are_plain(cli: Cli) -> None:
    for name in ("", "a b", "-x", "a/b", "\u202e", "n" * 65):
        assert cli("context", "add", "--url", "https://a", "--", name).code == 2


def _no_stdin() -> str:
    raise AssertionError("nothing asked for standard input")


def _stored(tmp_path: Path) -> dict[str, str]:
    path = tmp_path / "config.json"
    write_contexts(
        path,
        Contexts(
            {
                "prod": Context("https://prod", "org_prod", "rhp_prod", "/prod.pem"),
                "dev": Context("https://dev", None, "rhp_dev"),
            },
            "prod",
        ),
    )
    return {"RADAR_AUDIT_CONFIG": str(path)}


def test_the_current_context_gives_everything(tmp_path: Path) -> None:
    target = resolve(Connection(), _stored(tmp_path), _no_stdin)
    assert target == Target("https://prod", "rhp_prod", "org_prod", "/prod.pem")


def test_variables_come_before_the_context_and_options_before_both(tmp_path: Path) -> None:
    env = _stored(tmp_path) | {"RADAR_AUDIT_TOKEN": OTHER, "RADAR_AUDIT_ORG": "org_env"}
    assert resolve(Connection(), env, _no_stdin) == Target(
        "https://prod", OTHER, "org_env", "/prod.pem"
    )
    asked = Connection(org="org_option", token_stdin=True, ca_file="/o.pem")
    assert resolve(asked, env, lambda: "rhp_stdin") == Target(
        "https://prod", "rhp_stdin", "org_option", "/o.pem"
    )
    env["RADAR_AUDIT_CONTEXT"] = "dev"
    assert resolve(Connection(), env, _no_stdin).url == "https://dev"


def test_a_context_named_on_the_command_line_comes_before_the_variables(tmp_path: Path) -> None:
    env = _stored(tmp_path) | {
        "RADAR_AUDIT_URL": "https://env",
        "RADAR_AUDIT_TOKEN": OTHER,
        "RADAR_AUDIT_ORG": "org_env",
    }
    asked = Connection(context="dev")
    assert resolve(asked, env, _no_stdin) == Target("https://dev", "rhp_dev", "org_env", None)


def test_a_contexts_token_org_and_ca_go_to_its_own_address_only(tmp_path: Path) -> None:
    env = _stored(tmp_path)
    with pytest.raises(LoginError, match="its own address only"):
        resolve(Connection(url="https://evil"), env, _no_stdin)
    with pytest.raises(LoginError):
        resolve(Connection(context="prod", url="https://evil"), env, _no_stdin)
    with pytest.raises(LoginError):
        resolve(Connection(), env | {"RADAR_AUDIT_URL": "https://evil"}, _no_stdin)
    given = env | {"RADAR_AUDIT_TOKEN": OTHER}
    elsewhere = resolve(Connection(url="https://elsewhere"), given, _no_stdin)
    assert elsewhere == Target("https://elsewhere", OTHER, None, None)
    same = resolve(Connection(url="https://prod/"), env, _no_stdin)
    assert same.token == "rhp_prod"


def test_the_file_is_not_needed_where_the_environment_says_it_all(tmp_path: Path) -> None:
    env = _stored(tmp_path) | {"RADAR_AUDIT_URL": "https://env", "RADAR_AUDIT_TOKEN": OTHER}
    Path(env["RADAR_AUDIT_CONFIG"]).chmod(0o644)
    assert resolve(Connection(), env, _no_stdin) == Target("https://env", OTHER, None, None)


def test_without_a_hub_or_a_token_the_next_step_is_named(cli: Cli) -> None:
    nowhere = cli("query")
    assert nowhere.code == 2
    assert "radar-audit context add NAME --url URL" in nowhere.err
    nobody = cli("query", "--url", "https://audit.example.com")
    assert nobody.code == 4
    assert "RADAR_AUDIT_TOKEN" in nobody.err


def test_relative_xdg_folders_are_ignored_as_the_specification_says(tmp_path: Path) -> None:
    assert config_path({"XDG_CONFIG_HOME": "here"}).is_relative_to(Path.home())
    assert config_path({"XDG_CONFIG_HOME": str(tmp_path)}).parts[-2:] == (
        "radar-audit",
        "config.json",
    )


def test_a_token_from_standard_input_is_used(
    hub: ContractHub, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RADAR_AUDIT_TOKEN")
    assert cli("whoami", "--token-stdin", stdin=f"{TOKEN}\nmore\n").code == 0
    assert hub.requests[-1].headers["Authorization"] == f"Bearer {TOKEN}"
