"""Debian's promtool, and the files of alerts that it checks.

Owns how a test of an alert is written for promtool. Called by the tests of this folder.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.chart.monitoring.alert_case import Case
from tests.cluster.tools import promtool_path

ALERTS = Path(__file__).parents[3] / "charts" / "radar-audit" / "files" / "alerts"


@cache
def promtool() -> str:
    """Return the program. ClusterError with the command to type."""
    return str(promtool_path())


def run(*words: str | Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run promtool; whoever calls looks at how it ended."""
    command = [promtool(), *map(str, words)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)


def rule_of(alert: str) -> dict[str, Any]:
    """Return the one rule of an alert's file."""
    (group,) = yaml.safe_load((ALERTS / f"{alert}.yaml").read_text(encoding="utf-8"))["groups"]
    (rule,) = group["rules"]
    assert rule["alert"] == alert
    return dict(rule)


def write_test(folder: Path, case: Case, expression: str | None = None) -> Path:
    """Write a case as promtool reads it, with its own copy of the rule; return the file."""
    rule = rule_of(case.alert)
    annotations = rule["annotations"] | {"description": case.description}
    tests = [
        {
            "eval_time": f"{minute}m",
            "alertname": case.alert,
            "exp_alerts": [
                {"exp_labels": rule["labels"] | case.labels, "exp_annotations": annotations}
            ]
            if minute in case.fires
            else [],
        }
        for minute in sorted(case.fires | case.silent)
    ]
    rule["expr"] = expression or rule["expr"]
    rules = folder / f"{case.name}.rules.yaml"
    rules.write_text(yaml.safe_dump({"groups": [{"name": case.name, "rules": [rule]}]}))
    series = [{"series": name, "values": values} for name, values in case.series.items()]
    test = {"interval": "1m", "input_series": series, "alert_rule_test": tests}
    file = folder / f"{case.name}.yaml"
    file.write_text(
        yaml.safe_dump({"rule_files": [rules.name], "evaluation_interval": "1m", "tests": [test]})
    )
    return file


def failing(files: Sequence[Path]) -> dict[str, str]:
    """Run promtool's tests in one process; return what it says of the files that failed."""
    command = [promtool(), "test", "rules", *map(str, files)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    told: dict[str, list[str]] = {}
    name = ""
    for line in done.stdout.splitlines():
        if line.startswith("Unit Testing:"):
            name = Path(line.removeprefix("Unit Testing:").strip()).stem
        elif name and line.strip():
            told.setdefault(name, []).append(line)
    assert set(told) == {file.stem for file in files}, done.stdout
    return {name: "\n".join(said) for name, said in told.items() if said != ["  SUCCESS"]}
