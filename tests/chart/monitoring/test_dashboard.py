"""Guards the dashboard: Grafana takes it, Prometheus takes its queries, its metrics exist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.monitoring import board
from tests.chart.monitoring.metric_names import names_in, sample_names
from tests.chart.monitoring.promtool import run

_ROWS = ["Capture", "Ingest and query", "Retention", "Delivery"]


def panels() -> list[dict[str, Any]]:
    return list(board.load()["panels"])


def test_board_has_its_rows_and_variables() -> None:
    whole = board.load()
    assert whole["uid"] == "radar-audit"
    assert [each["title"] for each in panels() if each["type"] == "row"] == _ROWS
    names = [each["name"] for each in whole["templating"]["list"]]
    assert names == ["datasource", "namespace", "job"]
    assert "id" not in whole  # an id is of one Grafana only


def test_panels_fill_the_board_without_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in panels()}) == len(panels())


@pytest.mark.parametrize(
    "panel", [p for p in panels() if p["type"] != "row"], ids=lambda p: p["title"]
)
def test_panel_says_what_it_shows_and_asks_the_chosen_source(panel: dict[str, Any]) -> None:
    assert panel["description"].endswith(".")
    assert panel["datasource"]["uid"] == "${datasource}"
    assert panel["targets"]
    for target in panel["targets"]:
        selectors = target["expr"].count("radar_audit_")
        assert target["expr"].count('namespace=~"$namespace", job=~"$job"') == selectors
        assert target["datasource"]["uid"] == "${datasource}"


def test_queries_name_only_metrics_that_exist() -> None:
    for query in board.queries():
        named = names_in(query.expression)
        assert named, query
        assert named <= sample_names(), query
        assert "$" not in query.expression, query


def test_prometheus_takes_every_query(tmp_path: Path) -> None:
    done = check(tmp_path, [query.expression for query in board.queries()])
    assert done == ""


def test_a_query_that_is_none_is_found_out(tmp_path: Path) -> None:
    assert "parse error" in check(tmp_path, ["sum(rate(radar_audit_hub_x[5m])"])


def check(folder: Path, expressions: list[str]) -> str:
    """Have promtool read the queries as recording rules; return what it minds."""
    rules = [{"record": f"board:{n}", "expr": each} for n, each in enumerate(expressions)]
    file = folder / "board.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "board", "rules": rules}]}))
    done = run("check", "rules", "--lint=none", file)
    return "" if done.returncode == 0 else done.stdout + done.stderr
