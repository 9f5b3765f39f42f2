"""Guards what the chart renders: a change of it is seen, and it is the same each time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart import golden
from tests.chart.rendering import CHART, KUBERNETES, Helm, read, run, set_names, values_of
from tests.cluster.tools import BUILD_SECONDS

pytestmark = pytest.mark.timeout(BUILD_SECONDS)  # the first run on a machine builds helm


@pytest.mark.parametrize("name", set_names())
def test_what_is_rendered_is_what_was_reviewed(helm: Helm, name: str) -> None:
    expected = (golden.FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    assert golden.text(helm.render(name)) == expected, (
        "if this change is wanted: python -m tests.chart.golden, and look at the diff"
    )


def test_there_is_a_snapshot_for_each_set_and_no_other() -> None:
    assert [path.stem for path in sorted(golden.FOLDER.iterdir())] == set_names()


@pytest.mark.parametrize("name", ["default", "all"])
def test_helm_lints_the_chart_strictly(name: str, tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump(values_of(name)))
    said = run(["lint", "--strict", str(CHART), "-f", str(values)])
    assert "[ERROR]" not in said
    assert "[WARNING]" not in said


def test_rendering_twice_gives_the_same_text(helm: Helm) -> None:
    """Argo CD and Flux compare; a random certificate or password would never be in sync."""
    values = values_of("all")
    assert helm.text(values) == helm.text(values)


def test_objects_have_names_of_their_own(helm: Helm) -> None:
    for name in set_names():
        objects = helm.render(name).objects
        places = {
            (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"])
            for each in objects
        }
        assert len(places) == len(objects), name


def test_no_custom_resource_of_ours_is_in_the_release(helm: Helm) -> None:
    """The kinds may not be served yet when it would be created."""
    groups = {each["apiVersion"] for name in set_names() for each in helm.render(name).objects}
    assert not [group for group in groups if group.startswith("audit.radarhq.io/")]


@pytest.mark.parametrize(
    ("release", "values", "expected"),
    [
        ("radar-audit", {}, "radar-audit-hub"),
        ("my-radar-audit", {}, "my-radar-audit-hub"),
        ("prod", {}, "prod-radar-audit-hub"),
        ("prod", {"nameOverride": "log"}, "prod-log-hub"),
        ("prod", {"fullnameOverride": "log"}, "log-hub"),
        ("r" * 53, {}, "r" * 40 + "-hub"),
    ],
)
def test_names_come_from_the_release(
    helm: Helm, tmp_path: Path, release: str, values: dict[str, Any], expected: str
) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    shown = run(
        ["template", release, str(CHART), "-f", str(file), "-s", "templates/hub/service.yaml"]
    )
    assert yaml.safe_load(shown)["metadata"]["name"] == expected


@pytest.mark.parametrize("name", set_names())
def test_release_and_namespace_may_be_digits(helm: Helm, name: str) -> None:
    """YAML reads digits as a number, which the API server refuses where a text has to be."""
    file = helm.chart.parent / f"{name}-digits.json"
    file.write_text(json.dumps(values_of(name)))
    arguments = ["template", "123", str(helm.chart), "-n", "2024", "-f", str(file)]
    rendered = read(run([*arguments, "--kube-version", KUBERNETES]))
    assert len(rendered.objects) == len(helm.render(name).objects)
    wrong = [
        f"{each['kind']} {path}"
        for each in rendered.objects
        for path, value in _leaves(each)
        if value in (123, 2024)
    ]
    assert wrong == []


def _leaves(part: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    pairs: Iterable[tuple[Any, Any]] = ()
    if isinstance(part, dict):
        pairs = part.items()
    elif isinstance(part, list):
        pairs = enumerate(part)
    else:
        yield path, part
    for key, value in pairs:
        yield from _leaves(value, f"{path}.{key}")


class TestUmbrella:
    """The chart inside of a parent chart, whose values reach it."""

    @pytest.fixture
    def parent(self, tmp_path: Path) -> Path:
        chart = tmp_path / "platform"
        shutil.copytree(CHART, chart / "charts" / "radar-audit")
        dependency = {"name": "radar-audit", "version": "0.1.0", "condition": "radar-audit.enabled"}
        facts = {"apiVersion": "v2", "name": "platform", "version": "1.0.0"}
        facts["dependencies"] = [dependency]  # type: ignore[assignment]
        (chart / "Chart.yaml").write_text(yaml.safe_dump(facts))
        return chart

    def test_globals_of_the_parent_are_taken_and_used(self, helm: Helm, parent: Path) -> None:
        shared = {"imageRegistry": "mirror.example", "imagePullSecrets": [{"name": "mirror"}]}
        values = {"global": shared | {"somebodyElses": 1}, "radar-audit": {"enabled": True}}
        pods = dict(read(helm.text(values, chart=parent)).pods())
        assert len(pods) == 3
        for pod in pods.values():
            (container,) = pod["containers"]
            assert container["image"].startswith("mirror.example/radar-audit/radar-audit-")
            assert pod["imagePullSecrets"] == [{"name": "mirror"}]

    def test_the_parents_condition_turns_it_off(self, helm: Helm, parent: Path) -> None:
        assert read(helm.text({"radar-audit": {"enabled": False}}, chart=parent)).objects == ()

    def test_a_wrong_value_is_refused_below_a_parent_too(self, helm: Helm, parent: Path) -> None:
        with pytest.raises(Exception, match="at '/hub': additional properties 'replicas'"):
            helm.text({"radar-audit": {"hub": {"replicas": 2}}}, chart=parent)
