"""Which events a query finds: the meaning of the query language, without a database.

Owns what each key is compared with. Called by the CLI's and the alert rules' filters on
events in hand, and by tests as the oracle of the hub's SQL. Never parses text, never reads
a clock or a store.
"""

from __future__ import annotations

import string
from collections.abc import Iterator
from typing import Any

from .actions import ACTIONS
from .event import Event
from .query import Created, Query, Term, Value

METADATA_KEYS = {
    "namespace": "namespace",
    "pod": "pod",
    "container": "container",
    "session": "session_id",
    "via_pat": "via_pat",
    "role": "role",
}
USER_ID_PREFIX = "user_"
# Only A-Z fold, because that is what both databases' lower() agree on.
_FOLD = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def matches(query: Query, event: Event) -> bool:
    """Tell whether every term of `query` holds for `event`."""
    return all(_holds(term, event) != term.negated for term in query.terms)


def expand_action(value: Value) -> frozenset[str]:
    """Return the names of the action table that a value of `action:` stands for.

    A known name is itself, a prefix (`pod.*`) all names that begin with it, any other text
    (`exec`) all names that contain it, whatever its case. Unknown text is no action.
    """
    if not value.prefix and value.text in ACTIONS:
        return frozenset({value.text})
    text = fold(value.text)
    if value.prefix:
        return frozenset(name for name in ACTIONS if name.startswith(text))
    return frozenset(name for name in ACTIONS if text in name)


def fold(text: str) -> str:
    """Return `text` with A-Z in lower case and every other character as it is."""
    return text.translate(_FOLD)


def searched_texts(event: Event) -> Iterator[str]:
    """Yield what free text is searched in: action, actor, target id and the metadata's leaves.

    Leaves are strings and integers (as decimal text) at any depth; keys, booleans and null
    are not searched.
    """
    yield event.action
    yield from _present(event.actor_email, event.actor_user_id, event.target_id)
    pending: list[Any] = [event.metadata]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            pending.extend(item.values())
        elif isinstance(item, list | tuple):
            pending.extend(item)
        elif isinstance(item, str):
            yield item
        elif isinstance(item, int) and not isinstance(item, bool):
            yield str(item)


def _holds(term: Term | Created, event: Event) -> bool:
    """Tell whether a term holds, its negation left aside."""
    if isinstance(term, Created):
        after_start = term.from_ms is None or event.created_at_ms >= term.from_ms
        return after_start and (term.to_ms is None or event.created_at_ms < term.to_ms)
    if term.key is None:
        wanted = fold(term.values[0].text)
        return any(wanted in fold(text) for text in searched_texts(event))
    return any(_has(term.key, value, event) for value in term.values)


def _has(key: str, value: Value, event: Event) -> bool:
    """Tell whether the field that `key` names has this value."""
    if key == "action":
        return event.action in expand_action(value)
    if key == "actor":
        return _is_actor(value, event)
    if key in METADATA_KEYS:
        found = event.metadata.get(METADATA_KEYS[key])
        if value.is_presence:
            return found is not None
        return isinstance(found, str) and _fits(value, found)
    return any(_fits(value, text) for text in _key_texts(key, event))


def _key_texts(key: str, event: Event) -> Iterator[str]:
    """Yield the texts of the keys that are compared with case, any of which may fit."""
    if key == "type":
        yield event.target_type
    elif key == "target":
        yield from _present(event.target_id)
    elif key == "id":
        yield event.id
    elif key == "cluster":
        names = [event.metadata.get("cluster_name")]
        if event.target_type == "cluster":
            names += [event.target_id, event.metadata.get("name")]
        yield from _present(event.cluster_id, *names)


def _is_actor(value: Value, event: Event) -> bool:
    """Compare with the user id or the e-mail; e-mails are stored in lower case."""
    if value.prefix:
        return any(
            (
                event.actor_user_id is not None and event.actor_user_id.startswith(value.text),
                event.actor_email is not None and event.actor_email.startswith(value.text.lower()),
            )
        )
    return value.text == event.actor_user_id or value.text.lower() == event.actor_email


def _fits(value: Value, text: str) -> bool:
    return text.startswith(value.text) if value.prefix else text == value.text


def _present(*texts: object) -> Iterator[str]:
    return (text for text in texts if isinstance(text, str))
