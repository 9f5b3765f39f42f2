"""Lists of things that are administered: how much of one, and in which form.

Owns the options that every `… list` command shares and the writing of pages.
Called by the administering commands and by `query`. Never keeps more than a
page in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from .connection import Connection, connection_options
from .output.views import View
from .output.writers import open_writer, output_option, utc_option
from .shapes import Params

if TYPE_CHECKING:
    from .hub_client import HubClient, Page


@dataclass(frozen=True, slots=True)
class Listing:
    """What was asked for: the most entries (None: all), the form, and the times' zone."""

    limit: int | None
    form: str
    utc: bool

    def show(self, client: HubClient, path: str, key: str, view: View, params: Params = ()) -> None:
        """Write the list at `path`, whose entries stand under `key`, page by page."""
        count, has_more = write_pages(self.form, view, client.listed(path, key, params, self.limit))
        if has_more:
            click.echo(f"{count} shown, there may be more: --limit N or --all", err=True)
        elif not count:
            click.echo(f"no {key}", err=True)


def write_pages(form: str, view: View, pages: Iterable[Page]) -> tuple[int, bool]:
    """Write pages as they come; return how many entries they held, and whether there may be more.

    The writer is opened late: a refused request writes nothing, not even a header.
    """
    writer = None
    count, has_more = 0, False
    for page in pages:
        writer = writer or open_writer(form, view)
        writer.write(page.items)
        count += len(page.items)
        has_more = page.has_more
    if writer is not None:
        writer.close()
    return count, has_more


_Command = Callable[..., Any]


def list_options(command: _Command) -> _Command:
    """Add a list's options to a command, which gets them as `listing` and `connection`."""

    @wraps(command)
    def gathered(
        *, limit: int, wants_all: bool, form: str, utc: bool, connection: Connection, **values: Any
    ) -> Any:
        listing = Listing(None if wants_all else limit, form, utc)
        return command(listing=listing, connection=connection, **values)

    decorated: _Command = gathered
    for option in (
        connection_options,
        utc_option,
        output_option,
        click.option("--all", "wants_all", is_flag=True, help="Show every one, however many."),
        click.option(
            "--limit",
            type=click.IntRange(1),
            default=100,
            show_default=True,
            help="Most entries to show.",
        ),
    ):
        decorated = option(decorated)
    return decorated
