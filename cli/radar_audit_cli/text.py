"""Text that comes from a hub, made safe to show.

Owns the neutralising of control, bidirectional and invisible characters, for
terminals and for JSON. Called by every writer and by `main` for error
sentences. An actor chooses parts of an event (a user agent, a pod's name), so
an event must not be able to move a cursor or to turn a line around.
"""

from __future__ import annotations

import json
from typing import Any


def visible(text: str) -> str:
    r"""Return `text` with each unprintable character as an escape such as `\n` or `\u202e`."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def json_text(value: Any, *, indent: int | None = None) -> str:
    r"""Write `value` as JSON on which a reader cannot tell a difference but a terminal is safe.

    Unprintable characters become `\uXXXX` escapes, which every JSON reader
    turns back; all others stay as they are. Without `indent`: one line,
    without spaces.
    """
    separators = (",", ":") if indent is None else None
    text = json.dumps(value, ensure_ascii=False, indent=indent, separators=separators)
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text
    )


def cell_text(value: Any) -> str:
    """Write one JSON value as people read it in a cell: strings bare, null empty, else JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json_text(value)
