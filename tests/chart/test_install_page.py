"""Guards docs/install.md: its values are good ones, and its commands are those of the notes."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.chart.rendering import ROOT, Helm
from tests.cluster.tools import BUILD_SECONDS

pytestmark = pytest.mark.timeout(BUILD_SECONDS)
PAGE = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
LOG_TAIL, FOR_GOOD = (
    yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
)


def warnings(helm: Helm, values: dict[str, Any]) -> list[str]:
    return re.findall(r"^WARNING: (.*)$", helm.notes(values), re.MULTILINE)


def test_the_values_for_good_leave_no_doubt(helm: Helm) -> None:
    assert warnings(helm, FOR_GOOD) == []
    (hub,) = (
        each
        for each in helm.render(FOR_GOOD).of("Deployment")
        if each["metadata"]["name"].endswith("-hub")
    )
    assert hub["spec"]["replicas"] == 2


def test_the_log_tail_alone_brings_nothing_else(helm: Helm) -> None:
    rendered = helm.render(LOG_TAIL)
    assert [name for name, _ in rendered.pods() if not name.endswith("-test")] == [
        "radar-audit-collector-log"
    ]
    assert not rendered.of("ClusterRole", "Role", "CustomResourceDefinition")
    doubts = warnings(helm, LOG_TAIL)
    assert [each for each in doubts if each.startswith("collector.logTail.enabled")]
    assert not [each for each in doubts if "nothing is recorded" in each]


def test_its_commands_are_those_of_the_notes(helm: Helm) -> None:
    notes = helm.notes({"hub": {"bootstrap": {"ownerEmail": "you@acme.com"}}})
    typed = [
        line for line in PAGE.split("## What is installed")[0].splitlines() if "  #" not in line
    ]
    for start in (
        "helm get values",
        "helm upgrade radar",
        "kubectl -n",
        "export",
        "radar-audit doc",
    ):
        (line, *_) = (line for line in typed if line.startswith(start))
        assert line.removesuffix(" &") in notes


def test_every_name_of_a_value_that_it_uses_is_one() -> None:
    text = PAGE.split("## Values")[0]
    known = set(re.findall(r"^\| `([\w.]+)` \|", PAGE, re.MULTILINE))
    first = {name.partition(".")[0] for name in known}
    named = re.findall(r"`((?:\w+\.)+\w+)(?::[^`]*)?`", text)
    values = {name for name in named if name.partition(".")[0] in first and "yaml" not in name}
    assert len(values) > 10
    assert values - {"global.imageRegistry"} <= known  # a key of the user's own map
