"""Parts of an item by dotted names, such as `metadata.namespace`.

Owns the reading of `--fields`. Called by the writers' set-up. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from radar_audit_cli.errors import ArgumentError

from .views import Item


def read_fields(text: str, known: Collection[str], open_ended: Collection[str]) -> tuple[str, ...]:
    """Return the dotted names in `text`, which commas separate.

    `known` are the item's keys; below those in `open_ended` any name is
    accepted. Raises ArgumentError that names the nearest key.
    """
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names:
        raise ArgumentError("--fields names no field", hint=f"fields are: {', '.join(known)}")
    for name in names:
        first, dot, rest = name.partition(".")
        if first not in known:
            near = get_close_matches(first, list(known), 1)
            meant = f"; is {near[0]} meant" if near else ""
            raise ArgumentError(
                f"there is no field {first!r}{meant}", hint=f"fields are: {', '.join(known)}"
            )
        if dot and (first not in open_ended or not rest):
            raise ArgumentError(f"the field {first!r} has no parts, so {name!r} names nothing")
    return names


def value_at(item: Any, name: str) -> Any:
    """Return the value at a dotted name, or None. A key that holds dots itself is found too."""
    if not isinstance(item, Mapping):
        return None
    if name in item:
        return item[name]
    first, dot, rest = name.partition(".")
    return value_at(item.get(first), rest) if dot else None


def only(item: Item, names: Sequence[str]) -> dict[str, Any]:
    """Return the item with nothing but the parts at `names`, each where it was.

    What is missing becomes null, so that every item has the same keys.
    """
    kept: dict[str, Any] = {}
    for name in names:
        first, dot, rest = name.partition(".")
        if not dot:
            kept[first] = item.get(first)
            continue
        inner = kept.setdefault(first, {})
        if isinstance(inner, dict) and inner is not item.get(first):
            inner[rest] = value_at(item.get(first), rest)
    return kept
