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
from sqlalchemy.ext.asyncio import AsyncConnection

from radar_audit_hub.retention.policy import ClusterFloor, Floors

from .database import Dialect

MAX_MERGED_LISTS = 12  # up to this many actions are read as sorted lists and merged
TOP_ID = "ae_~"  # above every id: `~` sorts after the ULID alphabet
_MAX_NEEDLES = 8  # above it, looking for each value costs more than parsing the row
_VALUES_OF_A_WORD = 10  # comparing so many values with a text costs what finding a word does
Values = tuple[Value, ...]


@dataclass(slots=True)
class Arguments:
    """The growing list of arguments of one statement, and the dialect's way to number them."""

    dialect: Dialect
    values: list[Any] = field(default_factory=list)

    def add(self, value: object) -> str:
        """Append a value and return its placeholder."""
        self.values.append(value)
        return f"${len(self.values)}" if self.dialect == "postgresql" else f"?{len(self.values)}"


def arguments_for(connection: AsyncConnection) -> Arguments:
    """Return the empty list of arguments of a statement on a connection."""
    return Arguments("postgresql" if connection.dialect.name == "postgresql" else "sqlite")


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
    low, high = "", TOP_ID
    allowed: frozenset[str] | None = None
    actor: tuple[tuple[str, str], ...] = ()
    residual: list[Term | Created] = []
    for term in query.terms:
        if isinstance(term, Created):
            if term.negated:
                residual.append(term)
                continue
            low = max(low, floor_id(term.from_ms) if term.from_ms is not None else "")
            high = min(high, floor_id(term.to_ms) if term.to_ms is not None else TOP_ID)
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
    if found.high != TOP_ID:
        conditions.append(f"id < {args.add(found.high)}")
    if found.actor:
        equal = " OR ".join(f"{column} = {args.add(text)}" for column, text in found.actor)
        conditions.append(f"({equal})")
    return conditions


def floor_sql(floors: Floors, args: Arguments) -> str:
    """Return the condition that a row is still visible: an OR of few classes."""
    visible = _ages_sql(floors, args)
    if floors.clusters:
        names = ", ".join(args.add(cluster.cluster_id) for cluster in floors.clusters)
        others = f"COALESCE(cluster_id NOT IN ({names}), TRUE)"
        classes = [f"({others} AND {visible})"]
        for cluster in floors.clusters:
            mine = f"COALESCE(cluster_id = {args.add(cluster.cluster_id)}, FALSE)"
            classes.append(f"({mine} AND {_ages_sql(cluster, args)})")
        visible = f"({' OR '.join(classes)})"
    if floors.held:
        kept = [visible, *(found_sql(query, args) for query in floors.held)]
        visible = f"({' OR '.join(kept)})"
    return visible


def _ages_sql(floors: Floors | ClusterFloor, args: Arguments) -> str:
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


def found_sql(query: Query, args: Arguments) -> str:
    """Return the condition that a query finds a row, whatever the row's age."""
    found = plan(query)
    if found.empty:
        return "FALSE"
    conditions = [*bounds_sql(found, args), *residual_sql(found, args)]
    if found.actions is not None:
        conditions.append(actions_sql(found.actions, args))
    return f"COALESCE(({' AND '.join(conditions)}), FALSE)" if conditions else "TRUE"


def actions_sql(actions: frozenset[str], args: Arguments) -> str:
    """Return the condition that the action is one of a set."""
    names = sorted(actions)
    if args.dialect == "postgresql":
        return f"action = ANY({args.add(names)}::text[])"
    return f"action IN ({', '.join(args.add(name) for name in names)})"


def residual_sql(found: Plan, args: Arguments) -> list[str]:
    """Return one condition for each term that has to be looked at row by row."""
    return [_term_sql(term, args) for term in found.residual]


def scan_weight(found: Plan) -> int:
    """Return how much work one row of a scan is, against a row and a single word: at least 1."""
    values = sum(len(term.values) for term in found.residual if isinstance(term, Term))
    return max(1, len(found.residual) + values // _VALUES_OF_A_WORD)


def _term_sql(term: Term | Created, args: Arguments) -> str:
    if isinstance(term, Created):
        parts = []
        if term.from_ms is not None:
            parts.append(f"id >= {args.add(floor_id(term.from_ms))}")
        if term.to_ms is not None:
            parts.append(f"id < {args.add(floor_id(term.to_ms))}")
        condition = " AND ".join(parts)
    else:
        condition = f"COALESCE(({_KEYS[term.key](term.values, args)}), FALSE)"
    return f"NOT ({condition})" if term.negated else f"({condition})"


def _text_sql(expression: str, values: Values, args: Arguments) -> str:
    """Test whether a text is one of the values, begins with one, or (for `*`) is there at all."""
    if any(value.is_presence for value in values):
        return f"{expression} IS NOT NULL"
    exact = [value.text for value in values if not value.prefix]
    begins = [value.text for value in values if value.prefix]
    tests = []
    if args.dialect == "postgresql":
        if exact:
            tests.append(f"{expression} = ANY({args.add(exact)}::text[])")
        if begins:
            tests.append(f"{expression} ^@ ANY({args.add(begins)}::text[])")
        return " OR ".join(tests)
    if exact:
        tests.append(f"{expression} IN ({', '.join(map(args.add, exact))})")
    marks = map(args.add, begins)
    tests += [f"substr({expression}, 1, length({mark})) = {mark}" for mark in marks]
    return " OR ".join(tests)


def _actor_sql(values: Values, args: Arguments) -> str:
    lowered = tuple(Value(value.text.lower(), value.prefix) for value in values)
    user, email = _text_sql("actor_user_id", values, args), _text_sql("actor_email", lowered, args)
    return f"COALESCE({user}, FALSE) OR {email}"


def _column_sql(column: str) -> Callable[[Values, Arguments], str]:
    def make(values: Values, args: Arguments) -> str:
        return _text_sql(column, values, args)

    return make


def _member_sql(name: str, values: Values, args: Arguments) -> str:
    """Test a top-level text of the metadata; `name` is a key that the schemas let hold text only.

    A look for the key and the value as they stand in the canonical JSON comes first: only rows
    that have them, at whatever depth, are parsed, because that costs ten times as much.
    """
    if args.dialect == "postgresql":
        find, text = "strpos(metadata, {}::text) > 0", f"(metadata::jsonb ->> '{name}')"
    else:
        find, text = "instr(metadata, {}) > 0", f"json_extract(metadata, '$.{name}')"
    if len(values) <= _MAX_NEEDLES:
        needles = [_needle(name, value) for value in values]
    else:
        needles = [f'"{name}":']
    has = " OR ".join(find.format(args.add(needle)) for needle in needles)
    return f"CASE WHEN {has} THEN {_text_sql(text, values, args)} ELSE FALSE END"


def _needle(name: str, value: Value) -> str:
    """Return what the canonical JSON holds if the member `name` has this value."""
    if value.is_presence:
        return f'"{name}":'
    written = msgspec.json.encode(value.text).decode()
    return f'"{name}":{written[:-1] if value.prefix else written}'


def _metadata_sql(key: str) -> Callable[[Values, Arguments], str]:
    def make(values: Values, args: Arguments) -> str:
        return _member_sql(METADATA_KEYS[key], values, args)

    return make


def _cluster_sql(values: Values, args: Arguments) -> str:
    tests = (
        _text_sql("cluster_id", values, args),
        _member_sql("cluster_name", values, args),
        f"target_type = 'cluster' AND ({_text_sql('target_id', values, args)})",
        f"target_type = 'cluster' AND {_member_sql('name', values, args)}",
    )
    return " OR ".join(f"COALESCE({test}, FALSE)" for test in tests)


def _free_sql(values: Values, args: Arguments) -> str:
    """Search a word; the metadata's JSON text is searched first, its leaves only on a hit."""
    word = fold(values[0].text)
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


_KEYS: dict[str | None, Callable[[Values, Arguments], str]] = {
    None: _free_sql,
    "actor": _actor_sql,
    "target": _column_sql("target_id"),
    "id": _column_sql("id"),
    "cluster": _cluster_sql,
    **{key: _metadata_sql(key) for key in METADATA_KEYS},
}
