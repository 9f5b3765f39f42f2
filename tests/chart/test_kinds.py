"""Guards the kinds in the chart: they are those of crds/, and outlive the release."""

from __future__ import annotations

import pytest
import yaml

from tests.chart.rendering import CHART, ROOT, Helm, Object
from tests.cluster.tools import BUILD_SECONDS

pytestmark = pytest.mark.timeout(BUILD_SECONDS)
KEEP = "helm.sh/resource-policy"


def kinds(helm: Helm, **crds: bool) -> dict[str, Object]:
    found = helm.render({"crds": crds}).of("CustomResourceDefinition")
    return {each["metadata"]["name"]: each for each in found}


def test_the_copy_in_the_chart_is_equal() -> None:
    ours = {path.name: path.read_bytes() for path in (ROOT / "crds").glob("*.yaml")}
    copies = {path.name: path.read_bytes() for path in (CHART / "files" / "crds").iterdir()}
    assert copies == ours, "type `make docs`"
    assert len(ours) == 2


def test_they_are_rendered_whole(helm: Helm) -> None:
    sources = [yaml.safe_load(path.read_text()) for path in (ROOT / "crds").glob("*.yaml")]
    rendered = kinds(helm)
    assert rendered.keys() == {each["metadata"]["name"] for each in sources}
    for source in sources:
        assert rendered[source["metadata"]["name"]]["spec"] == source["spec"]


def test_they_outlive_the_release_unless_asked(helm: Helm) -> None:
    assert {each["metadata"]["annotations"][KEEP] for each in kinds(helm).values()} == {"keep"}
    for each in kinds(helm, keep=False).values():
        assert KEEP not in each["metadata"]["annotations"]


def test_they_may_come_from_elsewhere(helm: Helm) -> None:
    assert kinds(helm, enabled=False) == {}
