"""Text that anybody may have chosen, shown harmlessly: names, e-mails, pods, metadata.

Owns what becomes of characters that deceive the eye: those that turn the direction of text, that
are not seen, or that control a terminal are written as their code point; a long text is cut, and
the whole of it is where the details are. Pure. Called by the templates. Escaping is Jinja's: what
is made here is made of escaped pieces.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import msgspec
from markupsafe import Markup, escape

CUT_CHARS = 120
# Spelled out in one value: each is tenfold as long, and a page has hundreds of values that anybody
# may have filled with them. An event's JSON has them all.
_MAX_SPELLED = 40
_MAX_MARKS = 3  # combining characters on one letter: more of them paint over other lines
# Control, format (bidi, zero width), surrogate, private use, unassigned, separators of lines.
_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_MARKS = ("Mn", "Me")
_PLAIN = re.compile(r"^[\x20-\x7e]*\Z")
# Not seen either, though they count as letters or marks.
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f")


def is_deceptive(char: str) -> bool:
    """Tell whether a character is not seen as what it is."""
    return unicodedata.category(char) in _HIDDEN or char in _BLANK


def spelled(char: str) -> Markup:
    """Return a character as its code point, with its name to be read out."""
    name = unicodedata.name(char, "control character").lower()
    return Markup('<span class="char" title="{}">U+{:04X}</span>').format(name, ord(char))


def plain_name(text: str, limit: int = CUT_CHARS) -> str:
    """Return a text for where there can be no markup: titles and attributes."""
    kept = "".join(f"U+{ord(c):04X}" if is_deceptive(c) else c for c in text[: limit + 1])
    return kept if len(text) <= limit else kept[:limit] + "…"


def shown(value: object, limit: int = CUT_CHARS) -> Markup:
    """Return any text as markup: isolated from the text around it, cut to `limit` characters.

    It is cut before that where too much of it would have to be spelled out.
    """
    text = value if isinstance(value, str) else str(value)
    cut = text[:limit]
    body, length = (escape(cut), len(cut)) if _PLAIN.match(cut) else _spelled(cut, _MAX_SPELLED)
    if len(text) > length:
        body += Markup('<span class="cut">… ({:,} characters)</span>').format(len(text))
    return Markup("<bdi>{}</bdi>").format(body)


def spelled_out(text: str) -> Markup:
    """Return a text as markup, whole, with what deceives the eye spelled out."""
    return _spelled(text, len(text))[0]


def _spelled(text: str, most: int) -> tuple[Markup, int]:
    """Spell out at most `most` characters; return also how many of the text's that is good for."""
    parts: list[Markup] = []
    marks = length = begin = 0
    for place, char in enumerate(text):
        category = unicodedata.category(char)
        marks = marks + 1 if category in _MARKS else 0
        if category in _HIDDEN or char in _BLANK or marks > _MAX_MARKS:
            parts.append(escape(text[begin:place]))
            begin = length = place
            if most == 0:
                break
            parts.append(spelled(char))
            most, begin = most - 1, place + 1
    else:
        parts.append(escape(text[begin:]))
        length = len(text)
    return Markup().join(parts), length


def json_text(value: Any) -> str:
    r"""Return a value as indented JSON in which deceptive characters are \u escapes.

    It is still the same JSON: it decodes to the same value.
    """
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    if text.isascii():
        return text
    return "".join(_json_char(c) for c in text)


def json_line(value: Any) -> str:
    """Return a value as JSON in one line, to be shown by `shown`."""
    return msgspec.json.format(msgspec.json.encode(value), indent=0).decode()


def _json_char(char: str) -> str:
    if char == "\n" or not is_deceptive(char):
        return char
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
