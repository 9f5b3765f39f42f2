"""The dashboard's queries, as Grafana would send them.

Owns which values stand for the board's variables. Called by the tests of the dashboard, on the
chart's files and on a running Prometheus.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BOARD = Path(__file__).parents[3] / "charts/radar-audit/files/dashboards/radar-audit.json"


@dataclass(frozen=True, slots=True)
class BoardQuery:
    """One query of a panel; `expression` has no variable in it any more."""

    panel: str
    ref: str
    expression: str

    def __str__(self) -> str:
        """Return where it stands."""
        return f"{self.panel} {self.ref}"


def load() -> dict[str, Any]:
    """Return the board."""
    return dict(json.loads(BOARD.read_text(encoding="utf-8")))


def queries(rate_interval: str = "5m") -> list[BoardQuery]:
    """Return all queries with every namespace and job chosen."""
    return list(_queries(rate_interval))


def _queries(rate_interval: str) -> Iterator[BoardQuery]:
    values = {"$__rate_interval": rate_interval, "$namespace": ".*", "$job": ".*"}
    for panel in load()["panels"]:
        for target in panel.get("targets", ()):
            expression = str(target["expr"])
            for name, value in values.items():
                expression = expression.replace(name, value)
            yield BoardQuery(panel["title"], target["refId"], expression)
