"""From a query of the log to SQL conditions, on both databases.

Owns how each key of the query language is looked up. Called by every read path
of this folder. Every value of a caller becomes a numbered argument; nothing a
caller wrote is ever part of the SQL text. Never runs a statement.

`radar_audit_events.matching` is the definition of what matches; the store's
tests hold this module against it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from radar_audit_events.actions import ACTIONS
from radar_audit_events.ids import floor_id
from radar_audit_events.matching import METADATA_KEYS, USER_ID_PREFIX, expand_action, fold
from radar_audit_events.query import Created, Query, Term, Value

from radar_audit_hub.retention.policy import Floors

from .database import Dialect

MAX_MERGED_LISTS = 12  # up to this many actions are read as sorted lists and merged
_TOP_ID = "ae_~"  # above every id: `~` sorts after the ULID alphabet


@dataclass(slots=True)
class Arguments:
    """The growing list of arguments of one statement, and the dialect's way to number them."""

    dialect: Dialect
    values: list[Any] = field(default_factory=list)

    def add(self, value: object) -> str:
        """Append a value and return its placeholder."""
        self.values.append(value)
        return f"${len(self.values)}" if self.dialect == "postgresql" else f"?{len(self.values)}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What of a query an index can answer, and what has to be looked at row by row.

    `low` and `high` bound the id, half-open. `actions` is None for all.
    `actor` is the one actor looked up by index, as the (column, value) pairs it
    may be found under: an id, an e-mail, or text that can be either. Empty: any.
    `residual` are the terms that need a look at each row: such a query is
    answered under a row budget.
    """

    low: str
    high: str
    actions: frozenset[str] | None
    actor: tuple[tuple[str, str], ...]
    residual: tuple[Term | Created, ...]

    @property
    def empty(self) -> bool:
        """Whether nothing can match."""
        return self.low >= self.high or self.actions == frozenset()


def plan(query: Query) -> Plan:
    """Split a query into index bounds and residual terms."""
    low, high = "", _TOP_ID
    allowed: frozenset[str] | None = None
    actor: tuple[tuple[str, str], ...] = ()
    residual: list[Term | Created] = []
    for term in query.terms:
        if isinstance(term, Created):
            if term.negated:
                residual.append(term)
                continue
            low = max(low, floor_id(term.from_ms) if term.from_ms is not None else "")
            high = min(high, floor_id(term.to_ms) if term.to_ms is not None else _TOP_ID)
        elif term.key in ("action", "type"):
            names = _actions_of(term)
            allowed = names if allowed is None else allowed & names
        elif not actor and _is_single_actor(term):
            actor = _actor_columns(term.values[0].text)
        else:
            residual.append(term)
    return Plan(low, high, allowed, actor, tuple(residual))


def _actions_of(term: Term) -> frozenset[str]:
    names: set[str] = set()
    for value in term.values:
        if term.key == "action":
            names |= expand_action(value)
        else:
            names |= {
                row.name
                for row in ACTIONS.values()
                if row.target_type == value.text
                or (value.prefix and row.target_type.startswith(value.text))
            }
    return frozenset(ACTIONS) - names if term.negated else frozenset(names)


def _is_single_actor(term: Term) -> bool:
    exact = len(term.values) == 1 and not term.values[0].prefix
    return term.key == "actor" and not term.negated and exact


def _actor_columns(text: str) -> tuple[tuple[str, str], ...]:
    """Return where an actor may be found; only an `@` tells that an id-like text is an e-mail."""
    user = ("actor_user_id", text)
    if text.startswith(USER_ID_PREFIX) and "@" not in text:
        return (user,)
    return (("actor_email", text.lower()), user)


def bounds_sql(found: Plan, args: Arguments) -> list[str]:
    """Return the conditions on id and actor of a plan."""
    conditions = []
    if found.low:
        conditions.append(f"id >= {args.add(found.low)}")
    if found.high != _TOP_ID:
        conditions.append(f"id < {args.add(found.high)}")
    if found.actor:
        equal = " OR ".join(f"{column} = {args.add(text)}" for column, text in found.actor)
        conditions.append(f"({equal})")
    return conditions


def floor_sql(floors: Floors, args: Arguments) -> str:
    """Return the condition that a row is still visible: an OR of few classes."""
    default = args.add(floor_id(floors.default_ms))
    longer, shorter = [], []
    for exception in floors.exceptions:
        mine = f"action = {args.add(exception.action)}"
        reach = f"id >= {args.add(floor_id(exception.floor_ms))}"
        if exception.floor_ms < floors.default_ms:
            longer.append(f"({mine} AND {reach})")
        else:
            shorter.append(f"NOT ({mine} AND NOT {reach})")
    base = " AND ".join([f"id >= {default}", *shorter])
    return f"({' OR '.join([f'({base})', *longer])})"


def actions_sql(actions: frozenset[str], args: Arguments) -> str:
    """Return the condition that the action is one of a set."""
    names = sorted(actions)
    if args.dialect == "postgresql":
        return f"action = ANY({args.add(names)}::text[])"
    return f"action IN ({', '.join(args.add(name) for name in names)})"


def residual_sql(found: Plan, args: Arguments) -> list[str]:
    """Return one condition for each term that has to be looked at row by row."""
    return [_term_sql(term, args) for term in found.residual]


def _term_sql(term: Term | Created, args: Arguments) -> str:
    if isinstance(term, Created):
        parts = []
        if term.from_ms is not None:
            parts.append(f"id >= {args.add(floor_id(term.from_ms))}")
        if term.to_ms is not None:
            parts.append(f"id < {args.add(floor_id(term.to_ms))}")
        condition = " AND ".join(parts)
    else:
        make = _KEYS[term.key]
        condition = " OR ".join(
            f"COALESCE(({make(value, args, term.key)}), FALSE)" for value in term.values
        )
    return f"NOT ({condition})" if term.negated else f"({condition})"


def _text_sql(expression: str, value: Value, args: Arguments) -> str:
    """Exact, prefix or presence test of one text expression."""
    if value.is_presence:
        return f"{expression} IS NOT NULL"
    mark = args.add(value.text)
    if not value.prefix:
        return f"{expression} = {mark}"
    if args.dialect == "postgresql":
        return f"starts_with({expression}, {mark}::text)"
    return f"substr({expression}, 1, length({mark})) = {mark}"


def _actor_sql(value: Value, args: Arguments, _key: str | None) -> str:
    if value.is_presence:
        return "actor_user_id IS NOT NULL OR actor_email IS NOT NULL"
    email = _text_sql("actor_email", Value(value.text.lower(), value.prefix), args)
    return f"COALESCE({_text_sql('actor_user_id', value, args)}, FALSE) OR {email}"


def _column_sql(column: str) -> Callable[[Value, Arguments, str | None], str]:
    def make(value: Value, args: Arguments, _key: str | None) -> str:
        return _text_sql(column, value, args)

    return make


def _member_sql(name: str, value: Value, args: Arguments) -> str:
    """Test one top-level string of the metadata; `name` is one of our own key names.

    A cheap look for the key's text comes first: only rows that have it are parsed.
    """
    if args.dialect == "postgresql":
        has = f"strpos(metadata, '\"{name}\":') > 0"
        text = f"(metadata::jsonb ->> '{name}')"
        is_text = f"jsonb_typeof(metadata::jsonb -> '{name}') = 'string'"
    else:
        has = f"instr(metadata, '\"{name}\":') > 0"
        text = f"json_extract(metadata, '$.{name}')"
        is_text = f"json_type(metadata, '$.{name}') = 'text'"
    test = _text_sql(text, value, args)
    if not value.is_presence:
        test = f"{is_text} AND {test}"
    return f"CASE WHEN {has} THEN {test} ELSE FALSE END"


def _metadata_sql(value: Value, args: Arguments, key: str | None) -> str:
    return _member_sql(METADATA_KEYS[str(key)], value, args)


def _cluster_sql(value: Value, args: Arguments, _key: str | None) -> str:
    tests = (
        _text_sql("cluster_id", value, args),
        _member_sql("cluster_name", value, args),
        f"target_type = 'cluster' AND {_text_sql('target_id', value, args)}",
        f"target_type = 'cluster' AND {_member_sql('name', value, args)}",
    )
    return " OR ".join(f"COALESCE({test}, FALSE)" for test in tests)


def _free_sql(value: Value, args: Arguments, _key: str | None) -> str:
    """Search a word; the metadata's JSON text is searched first, its leaves only on a hit."""
    word = fold(value.text)
    escaped = fold(msgspec.json.encode(word).decode()[1:-1])
    mark, rough = args.add(word), args.add(escaped)
    if args.dialect == "postgresql":
        mark, rough = f"{mark}::text", f"{rough}::text"
        find = 'strpos(lower({} COLLATE "C"), {}) > 0'
        hit = find.format("(leaf #>> '{}')", mark)
        leaves = (
            "SELECT 1 FROM jsonb_path_query(metadata::jsonb, 'strict $.**') AS leaf "  # noqa: S608 - arguments only
            f"WHERE jsonb_typeof(leaf) IN ('string', 'number') AND {hit}"
        )
    else:
        find = "instr(lower({}), {}) > 0"
        hit = find.format("CAST(atom AS TEXT)", mark)
        leaves = f"SELECT 1 FROM json_tree(metadata) WHERE type IN ('text', 'integer') AND {hit}"  # noqa: S608 - arguments only
    columns = ("action", "actor_email", "actor_user_id", "target_id")
    tests = [f"COALESCE({find.format(column, mark)}, FALSE)" for column in columns]
    tests.append(
        f"CASE WHEN {find.format('metadata', rough)} THEN EXISTS ({leaves}) ELSE FALSE END"
    )
    return " OR ".join(tests)


_KEYS: dict[str | None, Callable[[Value, Arguments, str | None], str]] = {
    None: _free_sql,
    "actor": _actor_sql,
    "target": _column_sql("target_id"),
    "id": _column_sql("id"),
    "cluster": _cluster_sql,
    **dict.fromkeys(METADATA_KEYS, _metadata_sql),
}
