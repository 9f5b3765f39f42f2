"""Guards the metrics of all parts: their names, their labels, and the page about them."""

from __future__ import annotations

import re

import pytest
import yaml

from scripts import metrics_docs
from tests.chart.monitoring.metric_names import names_in, sample_names
from tests.chart.monitoring.promtool import ALERTS, run

# What would say who did what where: the log says that, to those who may read it.
_NEVER = {"user", "email", "actor", "pod", "org", "org_id", "namespace", "token", "path", "address"}
PARTS = sorted(metrics_docs.registries())


def test_page_is_what_the_registries_show() -> None:
    assert metrics_docs.PAGE.read_text(encoding="utf-8") == metrics_docs.render(), (
        "docs/metrics.md is not up to date; type `make docs`"
    )


def test_pages_name_no_metric_that_is_none() -> None:
    pages = list(metrics_docs.PAGE.parent.glob("*.md"))
    assert len(pages) > 10
    known = {name.rsplit("_", 1)[0] for name in sample_names()} | sample_names()
    for page in pages:
        named = {name for name in names_in(page.read_text(encoding="utf-8")) if name[-1] != "_"}
        assert named <= known, page.name


@pytest.mark.parametrize("part", PARTS)
def test_metric_is_named_after_its_part(part: str) -> None:
    rows = metrics_docs.rows(metrics_docs.registries()[part])
    assert len(rows) > 15
    foreign = [row.name for row in rows if not row.name.startswith(f"radar_audit_{part}_")]
    assert foreign == ["radar_audit_build_info"]
    (info,) = (row for row in rows if row.type == "info")
    assert info.labels == ("component", "version")


@pytest.mark.parametrize("part", PARTS)
def test_no_label_is_about_a_person_or_a_place(part: str) -> None:
    rows = metrics_docs.rows(metrics_docs.registries()[part])
    used = {label for row in rows for label in row.labels}
    assert not used & _NEVER


def test_every_label_is_explained_and_every_explanation_is_used() -> None:
    each = metrics_docs.registries().values()
    used = {
        label for registry in each for row in metrics_docs.rows(registry) for label in row.labels
    }
    assert used == set(metrics_docs.LABELS)


def test_what_must_stay_0_has_an_alert() -> None:
    each = metrics_docs.registries().values()
    rows = [row for registry in each for row in metrics_docs.rows(registry)]
    zeros = {row.name for row in rows if "must stay 0" in row.meaning}
    assert len(zeros) >= 6
    rules = "".join(file.read_text(encoding="utf-8") for file in ALERTS.glob("*.yaml"))
    assert zeros <= names_in(rules)


def test_alerts_name_only_metrics_that_exist() -> None:
    for file in ALERTS.glob("*.yaml"):
        (group,) = yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
        named = names_in(group["rules"][0]["expr"])
        assert named, file.name
        assert named <= sample_names(), file.name


def test_promtool_would_complain_of_a_wrong_name() -> None:
    done = run("check", "metrics", stdin="# HELP x_ms X\n# TYPE x_ms counter\nx_ms 1\n")
    assert done.returncode != 0
    assert re.search(r"x_ms .*_total", done.stdout + done.stderr)
