"""Which streams a terminal asked for: the allow-list of an exec's query parameters.

Owns what may be read from a raw query (container, stdin, tty) and how. Called by
`record` and by the gateway. Pure, standard library only: the gateway's relay
process imports it. Never hands on any other parameter: `command` is argv.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote_plus

MAX_LABEL_CHARS = 63  # RFC 1123
MAX_SUBDOMAIN_CHARS = 253  # RFC 1123
_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_IS_LABEL = re.compile(_LABEL)
_IS_SUBDOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_USUAL = frozenset({"stdout=true", "stderr=true"})  # in most queries, and nobody asks for them
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class Streams(NamedTuple):
    """What a query asks for; `container` is null where it names none or no possible one."""

    container: str | None
    stdin: bool
    tty: bool


def is_label(text: str) -> bool:
    """Tell whether a text can be the name of a namespace or a container."""
    return len(text) <= MAX_LABEL_CHARS and _IS_LABEL.fullmatch(text) is not None


def is_subdomain(text: str) -> bool:
    """Tell whether a text can be the name of a pod."""
    return len(text) <= MAX_SUBDOMAIN_CHARS and _IS_SUBDOMAIN.fullmatch(text) is not None


def read_streams(query: str) -> Streams:
    """Read container, stdin and tty from a raw query; everything else is passed over.

    As the API server reads it: names and values decoded, a pair with a semicolon
    or a broken escape dropped, the first of repeated values taken, and every value of
    a flag but `0` and `false` means true (apimachinery, Convert_Slice_string_To_bool). A
    refused request may name any container: what is no name is left out.
    """
    container = stdin = tty = None
    for pair in query.split("&"):
        if pair in _USUAL:
            continue
        name, _, value = pair.partition("=")
        if name == "command":
            continue
        if "%" in pair or ";" in pair or "+" in name:
            if ";" in pair or _BAD_ESCAPE.search(pair):
                continue
            name = unquote_plus(name)
        if name == "tty":
            tty = value if tty is None else tty
        elif name == "stdin":
            stdin = value if stdin is None else stdin
        elif name == "container":
            container = value if container is None else container
    return Streams(_container(container), _flag(stdin), _flag(tty))


def _container(value: str | None) -> str | None:
    # A label needs no decoding, so the usual case is the raw value as it stands.
    for name in (value, unquote_plus(value)) if value is not None else ():
        if is_label(name):
            return name
    return None


def _flag(value: str | None) -> bool:
    if value is None or value == "true":
        return value is not None
    return unquote_plus(value).lower() not in ("0", "false")
