"""Asking before something that cannot be undone.

Owns `--yes` and the question whose answer is the thing's own name. Called by
the administering commands. Never takes an empty answer, a closed input or a
script without `--yes` for a yes.
"""

from __future__ import annotations

import sys

import click

from .errors import ArgumentError
from .text import visible


def _refuse_unasked(ctx: click.Context, _: click.Parameter, value: bool) -> bool:  # noqa: FBT001 - click calls it so
    if not value and not sys.stdin.isatty():
        raise ArgumentError(
            f"`{ctx.command_path}` cannot be undone, and there is no terminal to ask on",
            hint="check what it names, then add --yes",
        )
    return value


yes_option = click.option(
    "-y",
    "--yes",
    is_flag=True,
    callback=_refuse_unasked,
    help="Do not ask first (for scripts).",
)


def confirm(consequence: str, name: str, *, yes: bool) -> None:
    """Return if the person types `name`, or at once with `yes`.

    `consequence` is a sentence without its full stop that says what is going to
    happen. Raises ArgumentError for any other answer, click.Abort for Ctrl-C.
    """
    if yes:
        return
    shown = visible(name)
    click.echo(f"{visible(consequence)}.", err=True)
    typed = click.prompt(f"Type {shown} to go on", default="", show_default=False, err=True)
    if typed.strip() not in (name, shown):
        raise ArgumentError(f"nothing was done: what was typed is not {shown}")
