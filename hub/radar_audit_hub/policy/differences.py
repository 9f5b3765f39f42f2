"""What changed between two documents of an owner, as the audit event tells it: pure.

Owns the form of `changes` in `audit.policy_changed`: one entry a field, old and new value as short
text. Called wherever such an event is written. Never tells a secret (only that one changed) or an
address of a person (only how many there are).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from radar_audit_events.policy_wire import OwnerDocument

from .secret_parts import Secrets

MAX_CHANGES = 60
MAX_TEXT_CHARS = 100
MORE = "more"
Changes = dict[str, list[str | int | bool | None]]
# What says which object and version a document is, not what it asks for.
_IDENTITY = frozenset({"uid", "generation", "spec_hash", "created_at"})


def changes(
    before: OwnerDocument | None, after: OwnerDocument | None, old: Secrets, new: Secrets
) -> Changes:
    """Return {field: [old, new]} for what differs; at most 60 fields, the rest as a number."""
    was, now = _flat(before), _flat(after)
    found: Changes = {
        key: [was.get(key), now.get(key)]
        for key in sorted(was.keys() | now.keys())
        if was.get(key) != now.get(key)
    }
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            key = f"notifications.destinations.{name}.secret"
            found[key] = ["set" if name in old else None, "changed" if name in new else None]
    if len(found) > MAX_CHANGES:
        kept = dict(list(found.items())[: MAX_CHANGES - 1])
        return {**kept, MORE: [None, len(found) - len(kept)]}
    return found


def _flat(document: OwnerDocument | None) -> dict[str, str | int | bool]:
    if document is None:
        return {}
    plain = msgspec.to_builtins(document)
    return dict(_leaves("", {k: v for k, v in plain.items() if k not in _IDENTITY}))


def _leaves(at: str, value: Any) -> Iterator[tuple[str, str | int | bool]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(f"{at}.{key}" if at else key, inner)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for item in value:
            rest = {key: inner for key, inner in item.items() if key != "name"}
            yield f"{at}.{item['name']}", True
            yield from _leaves(f"{at}.{item['name']}", rest)
    elif at.endswith(".email.to"):
        yield at, len(value)
    elif isinstance(value, list):
        yield at, _short(", ".join(value))
    elif isinstance(value, str):
        yield at, _short(value)
    elif value is not None:
        yield at, value


def _short(text: str) -> str:
    return text if len(text) <= MAX_TEXT_CHARS else f"{text[: MAX_TEXT_CHARS - 1]}…"
