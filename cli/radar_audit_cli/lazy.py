"""Loading of commands and writers by name, when they are first needed.

Owns the one place that imports by name, so that `radar-audit --help` and
completion never pay for the HTTP, terminal and YAML libraries. Called by
`main` (commands) and by the output and progress code (what only a terminal
or only one format needs). Never decides which name is needed.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click
from click.shell_completion import CompletionItem


def load(place: str) -> Any:
    """Import `module:attribute` and return the attribute."""
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(module), attribute)


class LazyGroup(click.Group):
    """A group that knows its commands by name, place and one line of help.

    `table` maps a name to (`module:attribute`, short help); a command's module
    is imported when that command runs, not when the group lists it.
    """

    def __init__(self, *args: Any, table: Mapping[str, tuple[str, str]], **more: Any) -> None:
        """Take click's arguments and the table."""
        super().__init__(*args, **more)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command, or None if there is none of that name."""
        entry = self.table.get(cmd_name)
        if entry is None:
            return None
        command = load(entry[0])
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry[1]) for name, entry in self.table.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """Complete a command's name from the table alone, then the group's own options."""
        names = [
            CompletionItem(name, help=entry[1])
            for name, entry in self.table.items()
            if name.startswith(incomplete)
        ]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]
