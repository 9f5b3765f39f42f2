"""`radar-audit completion`: the script that teaches a shell our words."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_SHELLS = ("bash", "zsh", "fish")


@click.command(
    short_help="Print a shell's completion script.",
    epilog='bash: eval "$(radar-audit completion bash)" in ~/.bashrc',
)
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for SHELL.

    It completes commands, options, actions, target types and contexts, and
    asks no hub for it.
    """
    completer = get_completion_class(shell)
    assert completer is not None  # click knows the three shells
    root = ctx.find_root().command
    click.echo(completer(root, {}, "radar-audit", "_RADAR_AUDIT_COMPLETE").source())
