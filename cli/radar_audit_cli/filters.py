"""Which events a command is about.

Owns the filter options that query, tail, export and facets share, the check of
a query before it is sent, and the hub's parameters that they become. Called by
the commands and by `resuming`. Never sends anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import wraps
from typing import Any

import click
from radar_audit_events.errors import QueryError
from radar_audit_events.query import parse

from .completing import complete_action, complete_target_type
from .errors import ArgumentError
from .text import visible
from .times import RANGES_MS, lower_bound, range_start, upper_bound

_EXCERPT_CHARS = 60  # of a long query, this much is shown on each side of the mistake
# A negated term of the query language, such as -actor:bot@acme.com. No option has two
# letters after one dash, so that it cannot be meant as one.
_NEGATED_TERM = re.compile(r"-[a-z_]{2,}:.*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Filter:
    """What was asked for, as it was typed. Empty: everything."""

    words: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    actor: str | None = None
    target: str | None = None
    range: str | None = None
    from_: str | None = None
    to: str | None = None
    include: tuple[str, ...] = ()

    def params(self) -> list[tuple[str, str]]:
        """Return the hub's parameters. Raises ArgumentError for a mistake that can be seen here."""
        for name, text in (
            ("--actor", self.actor),
            ("--target", self.target),
            ("--from", self.from_),
            ("--to", self.to),
            *(("--action", action) for action in self.actions),
            *(("--type", kind) for kind in self.types),
        ):
            # A shell variable that is not set must not widen what is asked for to everything.
            if text is not None and not text.strip():
                raise ArgumentError(f"{name} is empty: give a value or leave it out")
        if self.range and (self.from_ or self.to):
            raise ArgumentError("--range stands for --from and --to: give one or the other")
        found = [("action", action) for action in self.actions]
        found += [("target_type", kind) for kind in self.types]
        bounds = (
            ("from", lower_bound(self.from_, "--from") if self.from_ else None),
            ("to", upper_bound(self.to, "--to") if self.to else None),
        )
        for name, value in (
            ("actor", self.actor),
            ("target", self.target),
            ("range", self.range),
            *bounds,
            ("q", checked_query(" ".join(self.words))),
        ):
            if value:
                found.append((name, value))
        found += [("include", name) for name in self.include]
        for _, value in found:
            if not value.isprintable():
                raise ArgumentError(f"{value!r} holds a character that no event can have")
        return found

    def fixed_params(self, now_ms: int) -> list[tuple[str, str]]:
        """Return `params` with a range as the instant at which it began, seen from `now_ms`."""
        return [
            ("from", range_start(value, now_ms)) if name == "range" else (name, value)
            for name, value in self.params()
        ]

    def asked(self) -> dict[str, Any]:
        """Return the options that were given, as JSON; equal for equal filters."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
            if value
        }


def checked_query(text: str) -> str:
    """Return the query without white space around it. Raises ArgumentError with a caret."""
    query = text.strip()
    try:
        parse(query)
    except QueryError as exc:
        raise query_mistake(query, exc.position, f"expected {exc.expected}") from exc
    return query


def query_mistake(query: str, position: int, said: str) -> ArgumentError:
    """Return the error for a mistake at `position` (0-based) of `query`, with an excerpt."""
    position = min(position, len(query))
    start = max(position - _EXCERPT_CHARS, 0)
    before = ("…" if start else "") + visible(query[start:position])
    after = visible(query[position : position + _EXCERPT_CHARS])
    return ArgumentError(
        f"the query is wrong at position {position}: {said}",
        excerpt=f"{before}{after}\n{' ' * len(before)}^",
    )


class FilterCommand(click.Command):
    """A command with filter options, which takes `-key:value` for a word of the query."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Move negated terms behind a `--`, where click takes them for words."""
        end = args.index("--") if "--" in args else len(args)
        options, words = args[:end], args[end + 1 :]
        negated = [arg for arg in options if _NEGATED_TERM.fullmatch(arg)]
        options = [arg for arg in options if not _NEGATED_TERM.fullmatch(arg)]
        if negated or words:
            options += ["--", *negated, *words]
        return super().parse_args(ctx, options)


_Command = Callable[..., Any]


def filter_options(command: _Command) -> _Command:
    """Add the options of Filter to a command, which gets them as `chosen`."""

    @wraps(command)
    def gathered(*args: Any, **values: Any) -> Any:
        chosen = Filter(**{key: values.pop(key) for key in _KEYS})
        return command(*args, chosen=chosen, **values)

    decorated: _Command = gathered
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


_OPTIONS: Sequence[Callable[[_Command], _Command]] = (
    click.argument("words", metavar="[QUERY]...", nargs=-1),
    click.option(
        "--action",
        "actions",
        metavar="NAME",
        multiple=True,
        help="Action: exact, pod.* or a part of its name; repeatable.",
        shell_complete=complete_action,
    ),
    click.option(
        "--type",
        "types",
        metavar="TYPE",
        multiple=True,
        help="Target type; repeatable.",
        shell_complete=complete_target_type,
    ),
    click.option("--actor", metavar="WHO", help="Member's e-mail address or user_… id."),
    click.option("--target", metavar="ID", help="Target id, or its beginning and a *."),
    click.option("--range", type=click.Choice(list(RANGES_MS)), help="The last day, week, month."),
    click.option("--from", "from_", metavar="TIME", help="First time, or date in UTC."),
    click.option("--to", metavar="TIME", help="Time before which, or last date in UTC."),
    click.option(
        "--include",
        type=click.Choice(["recorded_at"]),
        multiple=True,
        help="Also ask for when the hub stored it.",
    ),
)
_KEYS = ("words", "actions", "types", "actor", "target", "range", "from_", "to", "include")
