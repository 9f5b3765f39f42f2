"""What changed between two documents of an owner, as the audit event tells it: pure.

Owns the form of `changes` in `audit.policy_changed`: one entry a field, old and new value as short
text. Called wherever such an event is written. Never tells a secret (only that one changed) or an
address of a person (only how many there are); what is not told in full is compared in full.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
from radar_audit_events.policy_wire import OwnerDocument, RetentionSettings

from .secret_parts import Secrets

MAX_CHANGES = 60
MAX_BYTES = 12 * 1024  # of JSON: an event's metadata is 16 KiB at most
MAX_TEXT_CHARS = 100
MORE = "more"
Told = str | int | bool
Changes = dict[str, list[str | int | bool | None]]
_CUT_CHARS, _DIGEST_CHARS = 80, 12
# What says which object and version a document is, not what it asks for.
_IDENTITY = frozenset({"uid", "generation", "spec_hash", "created_at"})


class _Leaf(NamedTuple):
    """One field: what it is, for the comparison, and what of it is told."""

    value: object
    told: Told


def changes(
    before: OwnerDocument | None, after: OwnerDocument | None, old: Secrets, new: Secrets
) -> Changes:
    """Return {field: [old, new]} for what differs: at most 60 fields and 12 KiB, else how many."""
    found = _compared(_flat(before), _flat(after))
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            key = f"notifications.destinations.{name}.secret"
            found[key] = ["set" if name in old else None, "changed" if name in new else None]
    return _bounded(found)


def retention_changes(before: RetentionSettings | None, after: RetentionSettings | None) -> Changes:
    """Return {field: [old, new]} for what differs between two retentions."""
    was, now = (
        {} if one is None else dict(_leaves("retention", msgspec.to_builtins(one)))
        for one in (before, after)
    )
    return _bounded(_compared(was, now))


def _compared(was: Mapping[str, _Leaf], now: Mapping[str, _Leaf]) -> Changes:
    return {
        key: [_told(was.get(key)), _told(now.get(key))]
        for key in sorted(was.keys() | now.keys())
        if was.get(key) != now.get(key)
    }


def _bounded(found: Changes) -> Changes:
    """Return what an event has room for, and how many fields more there are."""
    kept: Changes = {}
    room = MAX_BYTES
    for key, pair in found.items():
        room -= len(msgspec.json.encode({key: pair}))
        if room < 0 or (len(kept) == MAX_CHANGES - 1 and len(found) > MAX_CHANGES):
            return {**kept, MORE: [None, len(found) - len(kept)]}
        kept[key] = pair
    return kept


def _told(leaf: _Leaf | None) -> Told | None:
    return None if leaf is None else leaf.told


def _flat(document: OwnerDocument | None) -> dict[str, _Leaf]:
    if document is None:
        return {}
    plain = msgspec.to_builtins(document)
    return dict(_leaves("", {k: v for k, v in plain.items() if k not in _IDENTITY}))


def _leaves(at: str, value: Any) -> Iterator[tuple[str, _Leaf]]:
    if value == {} and at:  # such as a Slack destination, all of which is secret
        yield at, _Leaf(True, True)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(f"{at}.{key}" if at else key, inner)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for item in value:
            rest = {key: inner for key, inner in item.items() if key != "name"}
            yield f"{at}.{item['name']}", _Leaf(True, True)
            yield from _leaves(f"{at}.{item['name']}", rest)
    elif at.endswith(".email.to"):
        yield at, _Leaf(value, len(value))
    elif isinstance(value, list):
        yield at, _Leaf(value, _short(", ".join(value)))
    elif isinstance(value, str):
        yield at, _Leaf(value, _short(value))
    elif value is not None:
        yield at, _Leaf(value, value)


def _short(text: str) -> str:
    """Return a text in at most MAX_TEXT_CHARS; what is cut off is told apart by its digest."""
    if len(text) <= MAX_TEXT_CHARS:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{text[:_CUT_CHARS]}… #{digest[:_DIGEST_CHARS]}"
