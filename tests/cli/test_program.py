"""The program as people start it: fast, in a terminal, in a pipe, in a shell's completion."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from radar_audit_cli.lazy import load
from radar_audit_cli.main import _TABLE
from radar_audit_events.actions import ACTIONS

from tests.cli.conftest import PROGRAM, Cli
from tests.cli.contract_hub import TOKEN, ContractHub, make_event

_STYLE = re.compile(r"\x1b\[[\d;]*m")
_HEAVY = ("rich", "urllib3", "yaml", "ssl", "msgspec")


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("context", "--help")])
def test_help_loads_none_of_the_heavy_libraries(arguments: tuple[str, ...]) -> None:
    script = (
        "import sys\n"
        "from radar_audit_cli.main import run\n"
        f"assert run({list(arguments)!r}) == 0\n"
        f"print([name for name in {_HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30
    )
    loaded = done.stderr.splitlines()[-1]
    allowed = "['msgspec']" if arguments[0] == "context" else "[]"
    assert loaded in ("[]", allowed)


def test_a_query_into_a_pipe_loads_neither_rich_nor_yaml(hub: ContractHub) -> None:
    script = (
        "import sys\n"
        "from radar_audit_cli.main import run\n"
        "assert run(['query']) == 0\n"
        "print([name for name in ('rich', 'yaml') if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stderr.splitlines()[-1] == "[]"


def test_the_short_help_of_each_command_is_the_commands_own() -> None:
    for name, (place, short_help) in _TABLE.items():
        command = load(place)
        assert command.name == name
        assert command.get_short_help_str() == short_help


def test_every_command_explains_itself(cli: Cli) -> None:
    for name in _TABLE:
        result = cli(name, "--help")
        assert result.code == 0
        assert result.out.startswith(f"Usage: radar-audit {name}")
    for name in ("add", "use", "remove", "list", "current"):
        assert cli("context", name, "-h").code == 0


def test_an_unknown_command_or_option_is_usage(cli: Cli) -> None:
    assert cli("qurey").code == 2
    assert cli("query", "--nope").code == 2


def _in_a_terminal(*arguments: str, columns: int = 80, **env: str) -> tuple[int, str]:
    """Run the program with all three streams on a terminal and return its exit code and output."""
    terminal, other_side = pty.openpty()
    process = subprocess.Popen(
        [PROGRAM, *arguments],
        stdin=other_side,
        stdout=other_side,
        stderr=other_side,
        env=os.environ | {"COLUMNS": str(columns), "TERM": "xterm-256color"} | env,
    )
    os.close(other_side)
    output = b""
    with suppress(OSError):  # Linux: reading fails once the other side is closed
        while piece := os.read(terminal, 65536):
            output += piece
    os.close(terminal)
    return process.wait(timeout=30), output.decode()


def test_a_table_in_a_terminal_is_coloured_and_fits(hub: ContractHub) -> None:
    metadata = {"cluster_name": "prod", "namespace": "pay", "pod": "p" * 200}
    hub.events = [
        make_event(0, metadata=metadata, actor_email="漢字" * 40),
        make_event(1, actor_email="x\x1b[2J\u202e"),
    ]
    code, output = _in_a_terminal("query", "--utc", columns=100)
    assert code == 0
    assert "\x1b[" in output
    lines = _STYLE.sub("", output).splitlines()
    assert len(lines) == 3
    assert all(_cells(line) <= 100 for line in lines)
    assert "…" in lines[2]
    _, broad = _in_a_terminal("query", columns=400)
    assert r"x\x1b[2J\u202e" in broad


def _cells(line: str) -> int:
    return sum(2 if ord(char) >= 0x3000 else 1 for char in line.rstrip("\r"))


def test_a_wide_table_in_a_terminal_is_whole(hub: ContractHub) -> None:
    metadata = {"cluster_name": "prod", "namespace": "pay", "pod": "p" * 200}
    hub.events = [make_event(0, metadata=metadata)]
    _, output = _in_a_terminal("query", "-o", "wide", NO_COLOR="1", TERM="dumb")
    assert f"prod/pay/{'p' * 200}" in output


def test_show_and_facets_and_whoami_work_in_a_terminal(hub: ContractHub) -> None:
    hub.events = [make_event(0)]
    for arguments in (("show", hub.events[0]["id"]), ("facets",), ("whoami",)):
        code, output = _in_a_terminal(*arguments)
        assert code == 0
        assert "alice@acme.com" in output


def test_an_export_to_a_terminal_neutralises_and_one_to_a_file_shows_a_bar(
    hub: ContractHub, tmp_path: Path
) -> None:
    hub.events = [make_event(seq, actor_email="x\u202e") for seq in range(300)]
    hub.estimate = 300
    hub.events[7]["actor_email"] = "\x9b31m\x1b]0;owned\x07"
    code, output = _in_a_terminal("export", "--format", "csv")
    assert code == 0
    assert not set(output) & {"\x1b", "\x9b", "\u202e"}
    assert output.count("ae_") == 300
    assert r"\x9b31m\x1b]0;owned\x07" in output
    code, output = _in_a_terminal("export", "-O", str(tmp_path / "log.ndjson"))
    assert code == 0
    assert "300/300" in output
    assert len((tmp_path / "log.ndjson").read_bytes().splitlines()) == 300


def test_a_closed_pipe_ends_without_a_traceback(hub: ContractHub) -> None:
    hub.events = [make_event(seq) for seq in range(3000)]
    for arguments, code in ((["query", "--all", "-o", "ndjson"], 1), (["export"], 8)):
        process = subprocess.Popen(
            [PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read().decode()
        process.stderr.close()
        assert process.wait(timeout=20) == code
        assert "Traceback" not in err
        assert "Exception ignored" not in err


def test_a_full_disk_behind_standard_output_is_a_sentence(hub: ContractHub) -> None:
    hub.events = [make_event(seq) for seq in range(300)]
    for arguments, code in ((["query", "-o", "ndjson"], 1), (["export"], 8)):
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                [PROGRAM, *arguments],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                timeout=30,
                check=False,
            )
        assert done.returncode == code
        assert done.stderr.startswith("radar-audit: the ")
        assert "No space left on device" in done.stderr
        assert "Traceback" not in done.stderr


def test_output_is_utf8_whatever_the_locale(
    hub: ContractHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    hub.events = [make_event(0, actor_email="jürgen@例え.jp")]
    done = subprocess.run(
        [PROGRAM, "query", "-o", "ndjson"], capture_output=True, check=True, timeout=30
    )
    assert json.loads(done.stdout.decode("utf-8"))["actor_email"] == "jürgen@例え.jp"
    assert "jürgen" in done.stdout.decode("utf-8")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(cli: Cli, shell: str) -> None:
    result = cli("completion", shell)
    assert result.code == 0
    assert "_RADAR_AUDIT_COMPLETE" in result.out


def test_an_unknown_shell_is_refused(cli: Cli) -> None:
    assert cli("completion", "tcsh").code == 2


def _completed(*words: str) -> list[str]:
    env = os.environ | {
        "_RADAR_AUDIT_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["radar-audit", *words]),
        "COMP_CWORD": str(len(words)),
    }
    done = subprocess.run(
        [PROGRAM], env=env, capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_commands_actions_types_and_contexts_are_completed(cli: Cli) -> None:
    for name in ("prod", "prelive", "dev"):
        cli("context", "add", name, "--url", "https://a", "--token-stdin", stdin=TOKEN)
    assert _completed("ex") == ["export"]
    assert _completed("query", "--action", "pod.exec_e") == ["pod.exec_ended"]
    assert "pod.*" in _completed("query", "--action", "pod.")
    assert set(ACTIONS) < set(_completed("query", "--action", ""))
    assert _completed("clusters", "rot") == ["rotate-token"]
    assert _completed("billing", "checkout", "t") == ["team"]
    assert _completed("tail", "--type", "org_") == ["org_invitation", "org_member"]
    assert _completed("query", "--context", "pr") == ["prelive", "prod"]
    assert _completed("context", "use", "d") == ["dev"]


def test_completion_is_silent_where_contexts_cannot_be_read(cli: Cli) -> None:
    cli("context", "add", "prod", "--url", "https://a", "--token-stdin", stdin=TOKEN)
    path = Path(os.environ["XDG_CONFIG_HOME"]) / "radar-audit" / "config.json"
    path.chmod(0o644)
    assert _completed("query", "--context", "p") == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash on this machine")
def test_bash_takes_the_script(program: Cli) -> None:
    script = program("completion", "bash").out
    done = subprocess.run(
        ["bash", "--norc", "-c", f"{script}\ncomplete -p radar-audit"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert "_radar_audit_completion" in done.stdout
