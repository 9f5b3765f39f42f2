"""Guards the runbooks: each alert has one, about its own metrics, with commands that exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from scripts import metrics_docs
from tests.chart.monitoring.metric_names import names_in, sample_names
from tests.chart.monitoring.promtool import ALERTS, rule_of

PAGES = Path(__file__).parents[3] / "docs" / "runbooks"
NAMES = sorted(file.stem for file in ALERTS.glob("*.yaml"))
_SECTIONS = ["Meaning", "Impact", "Diagnosis", "Remedy"]
_KUBECTL = {"describe", "exec", "get", "logs", "set"}
_KINDS = {"audithub", "audithubs", "auditpolicies", "pod", "pods", "secrets", "env", "--raw"}
_HELM = {"get", "history"}


def page(alert: str) -> str:
    return (PAGES / f"{alert}.md").read_text(encoding="utf-8")


def commands(alert: str) -> list[list[str]]:
    """Return the words of each command of a page; what follows a pipe is left out."""
    (block,) = re.findall(r"```sh\n(.*?)```", page(alert), re.DOTALL)
    lines = [line for line in block.splitlines() if not line.startswith("#")]
    return [shlex.split(line.split(" | ")[0]) for line in lines]


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    assert sorted(file.stem for file in PAGES.glob("*.md") if file.stem != "README") == NAMES
    index = (PAGES / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(\w+)\]\(\1\.md\) \| (\w+) \| (.+) \|$", index, re.MULTILINE)
    rules = [rule_of(alert) for alert in NAMES]
    assert rows == [
        (rule["alert"], rule["labels"]["severity"], rule["annotations"]["summary"])
        for rule in rules
    ]


@pytest.mark.parametrize("alert", NAMES)
def test_runbook_is_about_its_alert(alert: str) -> None:
    text, rule = page(alert), rule_of(alert)
    head = f"# {alert}\n\n{rule['annotations']['summary']}."
    assert text.startswith(f"{head} Severity: {rule['labels']['severity']}.\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == _SECTIONS
    meaning = text.split("## Meaning")[1].split("## Impact")[0]
    # That only the operator that works counts goes without saying.
    watched = names_in(rule["expr"]) - {"radar_audit_operator_active"}
    assert {name.removesuffix("_bucket") for name in watched} <= names_in(meaning)


@pytest.mark.parametrize("alert", [*NAMES, "README"])
def test_metrics_that_a_runbook_names_exist(alert: str) -> None:
    known = {
        row.name for each in metrics_docs.registries().values() for row in metrics_docs.rows(each)
    }
    assert names_in(page(alert)) <= known | sample_names()


@pytest.mark.parametrize("alert", NAMES)
def test_commands_of_a_runbook_exist(alert: str) -> None:
    found = commands(alert)
    assert found
    for words in found:
        check(words)


def check(words: list[str]) -> None:
    """Check one command: its program, and what it is asked for."""
    program, *rest = words
    if program == "kubectl":
        plain = rest[2:] if rest[0] == "-n" else rest
        assert plain[0] in _KUBECTL, words
        if plain[0] in {"get", "describe", "set"}:
            assert plain[1] in _KINDS, words
        if "--" in rest:
            check(rest[rest.index("--") + 1 :])
    elif program == "helm":
        assert rest[0] in _HELM, words
    else:
        assert program.startswith("radar-audit"), words
        options = [word for word in rest if word.startswith("-")]
        help_text = help_of(program, *(word for word in rest if not word.startswith("-")))
        assert all(option in help_text for option in options), words


@cache
def help_of(*words: str) -> str:
    """Return what a program of ours says of a command. AssertionError where it has none."""
    program, *rest = words
    command = [str(Path(sys.executable).with_name(program)), *rest, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout


def test_wrong_commands_are_found_out() -> None:
    for wrong in (
        ["kubectl", "remove", "pods"],
        ["kubectl", "get", "podz"],
        ["kubectl", "-n", "x", "exec", "POD", "--", "radar-audit-collector", "spool", "shew"],
        ["radar-audit-hub", "purge", "--never"],
        ["curl", "http://localhost"],
    ):
        with pytest.raises(AssertionError):
            check(wrong)
