"""Guards what Chart.yaml tells others: versions, images, kinds and examples are the real ones."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CHART, ROOT, Helm
from tests.cluster.tools import BUILD_SECONDS
from tests.support.crd_checker import CrdChecker, running_checker

pytestmark = pytest.mark.timeout(BUILD_SECONDS)
FACTS: dict[str, Any] = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
ALL_ON = {
    "collector": {
        "webhook": {
            "enabled": True,
            "tls": {"existingSecret": "a"},
            "token": {"existingSecret": "a"},
        }
    }
}


@pytest.fixture(scope="module")
def checker() -> Iterator[CrdChecker]:
    with running_checker() as running:
        yield running


def annotation(name: str) -> Any:
    return yaml.safe_load(FACTS["annotations"][f"artifacthub.io/{name}"])


def test_it_has_the_version_of_the_parts() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert FACTS["appVersion"] == project["version"]
    assert annotation("license") == project["license"]


def test_it_names_the_images_that_are_run(helm: Helm) -> None:
    run = {
        container["image"]
        for _, pod in helm.render(ALL_ON).pods()
        for container in pod["containers"]
    }
    assert {each["image"] for each in annotation("images")} == run
    assert len(run) == 3


def test_it_names_the_kinds(helm: Helm) -> None:
    rendered = helm.render({}).of("CustomResourceDefinition")
    kinds = {
        (each["metadata"]["name"], each["spec"]["names"]["kind"], version["name"])
        for each in rendered
        for version in each["spec"]["versions"]
    }
    named = {(each["name"], each["kind"], each["version"]) for each in annotation("crds")}
    assert named == kinds


def test_its_examples_are_taken_by_the_api_server(checker: CrdChecker) -> None:
    examples = annotation("crdsExamples")
    assert {each["kind"] for each in examples} == {"AuditHub", "AuditPolicy"}
    for each in examples:
        verdict = checker.check(each)
        assert (verdict.unknown, verdict.errors) == ((), ())


def test_the_files_that_it_links_to_exist() -> None:
    links = [each["url"] for each in annotation("links")]
    paths = [link.partition("/blob/main/")[2] for link in links]
    paths.append(FACTS["icon"].partition("/main/")[2])
    assert all(paths)
    assert not [path for path in paths if not (ROOT / path).is_file()]
