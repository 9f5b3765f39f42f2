"""How many rows PostgreSQL looked at for a statement, told by its own EXPLAIN.

Called by tests that hold a statement to the rows that it needs: unlike its time, they are the
same on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

EXPLAIN = "EXPLAIN (ANALYZE, FORMAT JSON)"


def rows_read(explained: Sequence[Any]) -> float:
    """Return how many rows all scans of a statement looked at; takes the answer to EXPLAIN."""
    return sum(_of_scans(explained[0][0][0]["Plan"]))


def _of_scans(node: dict[str, Any]) -> Iterator[float]:
    if "Relation Name" in node:
        looked_at = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
        yield looked_at * node["Actual Loops"]
    for below in node.get("Plans", ()):
        yield from _of_scans(below)
