"""YAML, for people who read structures.

Owns the only use of the YAML library. Called through `writers`. Every value is
a plain one: no tags, no anchors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TextIO

import yaml

from .views import Item, View


class YamlWriter:
    """A list of mappings; one mapping where the view is single, documents where it is endless."""

    def __init__(self, view: View, stream: TextIO) -> None:
        """Take what to show and where to."""
        self._view = view
        self._stream = stream
        self._count = 0

    def write(self, items: Sequence[Item]) -> None:
        """Write and flush some items."""
        for item in items:
            document = self._view.document(item)
            if self._view.endless and self._count:
                self._stream.write("---\n")
            is_one = self._view.single or self._view.endless
            self._stream.write(_yaml(document if is_one else [document]))
            self._count += 1
        self._stream.flush()

    def close(self) -> None:
        """Write an empty list where nothing came."""
        if not self._count and not self._view.single and not self._view.endless:
            self._stream.write("[]\n")
        self._stream.flush()


class _PlainDumper(yaml.SafeDumper):
    """A safe dumper that repeats a value instead of pointing at it."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _yaml(document: Any) -> str:
    return yaml.dump(
        document,
        Dumper=_PlainDumper,
        sort_keys=False,
        width=100,
        # As soon as one character could deceive a reader, every one beyond ASCII is escaped.
        allow_unicode=is_showable(document),
    )


def is_showable(document: Any) -> bool:
    """Tell whether every string in a JSON value is safe to show; line ends are."""
    if isinstance(document, str):
        return document.replace("\n", "").isprintable()
    if isinstance(document, dict):
        return all(is_showable(key) and is_showable(value) for key, value in document.items())
    if isinstance(document, list):
        return all(is_showable(item) for item in document)
    return True
