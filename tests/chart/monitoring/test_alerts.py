"""Guards the alerts: each fires when it must, is silent when all is well, and ends by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chart.monitoring.alert_case import Case
from tests.chart.monitoring.alert_cases import CASES
from tests.chart.monitoring.promtool import ALERTS, failing, rule_of, run, write_test

FILES = sorted(ALERTS.glob("*.yaml"))
NAMES = [file.stem for file in FILES]


def test_rules_are_taken_by_prometheus() -> None:
    done = run("check", "rules", *FILES)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("SUCCESS: 1 rules found") == len(FILES)


def test_every_alert_has_a_story() -> None:
    assert sorted({case.alert for case in CASES}) == NAMES


@pytest.mark.parametrize("alert", NAMES)
def test_alert_says_how_bad_it_is_what_it_means_and_where_to_read_on(alert: str) -> None:
    rule = rule_of(alert)
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"].endswith(f"/docs/runbooks/{alert}.md")
    assert rule["annotations"]["description"].endswith((".", "{{ end }}"))
    assert "\n" not in rule["annotations"]["description"]


def test_alerts_fire_when_they_must_and_are_silent_when_all_is_well(tmp_path: Path) -> None:
    assert failing([write_test(tmp_path, case) for case in CASES]) == {}


@pytest.mark.parametrize("how", ["blunt", "sharp"])
def test_spoilt_alert_is_found_out(tmp_path: Path, how: str) -> None:
    """Each story fails with an expression that never fires, and with one that always does."""
    files = [write_test(tmp_path, case, spoilt(case, how)) for case in CASES]
    assert set(failing(files)) == {case.name for case in CASES}


def spoilt(case: Case, how: str) -> str:
    good = str(rule_of(case.alert)["expr"])
    old, new = case.blunt if how == "blunt" else case.sharp
    assert old in good, (case.name, how)
    return good.replace(old, new)
