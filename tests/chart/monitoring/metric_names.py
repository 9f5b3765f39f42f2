"""The names of our samples: those that the registries know, and those that a text uses.

Called by the tests of this folder.
"""

from __future__ import annotations

import re
from functools import cache

from scripts import metrics_docs

_NAME = re.compile(r"\bradar_audit_(?:build|hub|collector|operator)_[a-z0-9_]+\b")


def names_in(text: str) -> set[str]:
    """Return every name of ours in a text."""
    return set(_NAME.findall(text))


@cache
def sample_names() -> frozenset[str]:
    """Return every name that a sample of ours may have."""
    found: set[str] = set()
    for registry in metrics_docs.registries().values():
        for row in metrics_docs.rows(registry):
            ends = ("_bucket", "_sum", "_count") if row.type == "histogram" else ("",)
            found |= {row.name + end for end in ends}
    return frozenset(found)
