"""The commands that the help and the documents show are commands that there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from radar_audit_cli.lazy import load
from radar_audit_cli.main import _TABLE, cli

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
ADMINISTERING = (
    "orgs",
    "members",
    "invitations",
    "clusters",
    "pats",
    "billing",
    "sso",
    "audit",
    "destinations",
    "inbox",
)


def _commands() -> list[tuple[str, click.Command]]:
    """Return every command that administers, by its words."""
    found = []
    for name in ADMINISTERING:
        group = load(_TABLE[name][0])
        assert isinstance(group, click.Group)
        found += [(f"{name} {sub}", command) for sub, command in group.commands.items()]
    return found


def _parse(line: str) -> str:
    """Take a command line as the program does, without running it; return the command's words."""
    words = shlex.split(line)
    assert words.pop(0) == "radar-audit"
    context = click.Context(cli, info_name="radar-audit")
    command: click.Command = cli
    path = []
    while isinstance(command, click.Group):
        path.append(words.pop(0))
        found = command.get_command(context, path[-1])
        assert found is not None, line
        command = found
    # Only parsed: neither `--yes` nor a file that the line names is looked at.
    parser = command.make_parser(click.Context(command, info_name=path[-1]))
    options, rest, _ = parser.parse_args(list(words))
    assert not rest, line
    for param in command.params:
        given = options.get(param.name or "")
        assert isinstance(given, str) or not isinstance(param, click.Argument) or not param.required
        if isinstance(param.type, click.Choice) and isinstance(given, str):
            assert given in param.type.choices, line
    return " ".join(path)


def test_every_command_that_administers_has_an_example() -> None:
    commands = _commands()
    assert len(commands) > 25
    for name, command in commands:
        assert command.epilog is not None, name
        assert _parse(command.epilog.removeprefix("Example: ")) == name


def test_an_example_that_is_wrong_is_found() -> None:
    for line in (
        "radar-audit clusters delete",
        "radar-audit clusters explode prod",
        "radar-audit pats create ci --scopes audit:read",
        "radar-audit billing checkout gold",
    ):
        with pytest.raises((AssertionError, click.UsageError)):
            _parse(line)


def test_every_command_line_of_the_page_is_one() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    lines = [re.split(r"\s+[|<>#]|\s#", line)[0] for line in lines]
    ours = [line for line in lines if line.startswith("radar-audit ")]
    assert len(ours) > 15
    seen = {_parse(line) for line in ours if " query " not in line and " export " not in line}
    assert len({words.split()[0] for words in seen}) > 7


def test_every_command_is_named_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in _TABLE:
        assert f"| `{name}" in text, name
    for name, _ in _commands():
        group, sub = name.split()
        row = re.search(rf"^\| `{group} .*$", text, re.MULTILINE)
        assert row is not None, name
        assert re.search(rf"\b{sub}\b", row.group(0)), name
