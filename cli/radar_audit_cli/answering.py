"""One answer of the hub: in which form it is written, and what becomes of a token in it.

Owns the options that every command with one answer shares, and the warning beside a token that is
shown once. Called by the administering commands. Never writes a token that goes to a file anywhere
else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Protocol

import click

from .connection import Connection, connection_options
from .errors import ArgumentError, CliError
from .output.records import field_rows
from .output.views import Item, View, key_column
from .output.writers import Report, output_option, utc_option
from .secret_file import SecretFile, reserved, secret_options

_TOKEN_KEY = "token"  # noqa: S105 - contract: where an answer holds a token that is shown once
_FIELDS = View((key_column("field"), key_column("value")), name=lambda row: row["field"])


@dataclass(frozen=True, slots=True)
class Answer:
    """What was asked for: the form, and the times' zone."""

    form: str
    utc: bool

    def show(self, document: Item, *, name: str) -> None:
        """Write one answer: as itself in JSON, NDJSON and YAML, as its fields in tables and CSV.

        `name` is the key of what `-o name` prints.
        """
        rows = field_rows(document, utc=None if self.form == "csv" else self.utc)
        if self.form == "ndjson":
            rows = [dict(document)]
        if self.form == "name":
            rows = [{"field": document.get(name)}]
        Report(document, rows, _FIELDS).write("wide" if self.form == "table" else self.form)


class ShowMade(Protocol):
    """Writes an answer whose key `token` holds a token; `name` as for `Answer.show`.

    Raises CliError if there is no token in it, or the file cannot be written.
    """

    def __call__(self, document: Item, *, name: str) -> None:
        """Write the token into the file that is kept for it, else with a warning."""


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """What was asked for where a token is made: also the file for it, and whether to replace it."""

    answer: Answer
    file: Path | None
    force: bool

    @contextmanager
    def kept(self) -> Iterator[ShowMade]:
        """Make sure that a token can be kept or shown before the block makes one.

        Raises ArgumentError if it could be neither.
        """
        with reserved(self.file, force=self.force) as file:
            if self.answer.form == "name" and file is None:
                raise ArgumentError(
                    "-o name does not show the token, which the hub shows only once",
                    hint="add --token-file FILE, or choose another form",
                )

            def show(document: Item, *, name: str) -> None:
                self._show(document, file, name)

            yield show

    def _show(self, document: Item, file: SecretFile | None, name: str) -> None:
        token = document.get(_TOKEN_KEY)
        if not isinstance(token, str) or not token:
            raise CliError("the hub answered without the token that was asked for")
        if file is None:
            self.answer.show(document, name=name)
            click.echo("the token is shown this once only: keep it like a password", err=True)
            return
        file.store(token)
        rest = {key: value for key, value in document.items() if key != _TOKEN_KEY}
        self.answer.show(rest, name=name)
        click.echo(f"the token is in {file.path}, which only you can read", err=True)


_Command = Callable[..., Any]


def answer_options(command: _Command) -> _Command:
    """Add an answer's options to a command, which gets them as `answer` and `connection`."""

    @wraps(command)
    def gathered(*, form: str, utc: bool, connection: Connection, **values: Any) -> Any:
        return command(answer=Answer(form, utc), connection=connection, **values)

    return output_option(utc_option(connection_options(gathered)))


def token_options(command: _Command) -> _Command:
    """Add the options of an answer with a new token; a TokenAnswer comes as `answer`."""

    @wraps(command)
    def gathered(*, answer: Answer, token_file: Path | None, force: bool, **values: Any) -> Any:
        return command(answer=TokenAnswer(answer, token_file, force), **values)

    return secret_options(answer_options(gathered))
