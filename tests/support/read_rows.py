"""How a database ran a statement, told by its own EXPLAIN: which rows it looked at, and how.

Owns noting the plans of what the store asks for, and the count of rows in PostgreSQL's. Called by
tests that hold a statement to the rows that it needs: unlike its time, they are the same on every
machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

import pytest
from radar_audit_hub.store.database import Connection, Database, fetch

_EXPLAIN = {"postgresql": "EXPLAIN (ANALYZE, FORMAT JSON)", "sqlite": "EXPLAIN QUERY PLAN"}


def noted_plans(
    monkeypatch: pytest.MonkeyPatch, database: Database, *modules: ModuleType
) -> list[Sequence[Any]]:
    """Return a list that takes the plan of each statement which these modules fetch from now on."""
    explained: list[Sequence[Any]] = []

    async def noted(connection: Connection, sql: str, args: Sequence[Any]) -> Sequence[Any]:
        plan = await fetch(connection, f"{_EXPLAIN[database.dialect]} {sql}", args)
        explained.append(plan)
        return await fetch(connection, sql, args)

    for module in modules:
        monkeypatch.setattr(module, "fetch", noted)
    return explained


def rows_read(explained: Sequence[Any]) -> float:
    """Return how many rows all scans of a statement looked at; takes the answer to EXPLAIN."""
    return sum(_of_scans(explained[0][0][0]["Plan"]))


def _of_scans(node: dict[str, Any]) -> Iterator[float]:
    if "Relation Name" in node:
        looked_at = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
        yield looked_at * node["Actual Loops"]
    for below in node.get("Plans", ()):
        yield from _of_scans(below)
