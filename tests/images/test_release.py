"""Guards a release: one version, never overwritten, signed by digest, and what the workflow calls.

The commands are not run: buildx, cosign and a registry are not on every machine.
"""

from __future__ import annotations

import json
import os
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.images import commands, release
from scripts.images.closure import IMAGES, ROOT
from scripts.images.commands import Release
from scripts.images.errors import ImageError
from scripts.images.release import STEPS, Job, this_release
from tests.cluster.tools import BUILD_SECONDS, helm_path

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MADE = Release("1.2.3", "c" * 40, 1767225600)
BASE_DIGEST, IMAGE_DIGEST, CHART_DIGEST = (f"sha256:{each * 64}" for each in "bac")
ENVIRON = {
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "radar-audit/radar-audit",
    "GITHUB_REF": "refs/tags/v1.2.3",
    "GITHUB_RUN_ID": "7",
    "GITHUB_RUN_ATTEMPT": "1",
}


class Registry:
    """What a release talks to: it notes the commands and answers as buildx and helm do."""

    def __init__(self, published: str = "", trouble: str = "manifest unknown") -> None:
        self.commands: list[list[str]] = []
        self._published, self._trouble = published, trouble

    def run(self, command: list[str]) -> str:
        self.commands.append(command)
        line = " ".join(command)
        for option in command:
            if option.startswith("--metadata-file="):
                path = Path(option.partition("=")[2])
                path.write_text(json.dumps({"containerimage.digest": IMAGE_DIGEST}))
        if "inspect" in line and commands.BASE in line:
            return BASE_DIGEST + "\n"
        if line.startswith("helm push"):
            return f"Pushed: ghcr.io/radar-audit/charts/radar-audit:1.2.3\nDigest: {CHART_DIGEST}\n"
        if "inspect" in line or "show chart" in line:
            if self._published and self._published in line:
                return BASE_DIGEST
            raise ImageError(self._trouble)
        return ""

    def lines(self, *words: str) -> list[str]:
        return [" ".join(each) for each in self.commands if tuple(each[: len(words)]) == words]


def released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    registry = Registry()
    for step in STEPS.values():
        step(Job(MADE, registry.run, tmp_path))
    return registry


def steps(workflow: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


def test_every_image_is_built_for_both_architectures_from_one_pinned_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = released(tmp_path, monkeypatch)
    built = registry.lines("docker", "buildx", "build")
    assert len(built) == len(IMAGES)
    for part, line in zip(IMAGES, built, strict=True):
        assert f"--build-arg=PART={part} " in line
        assert f"--build-arg=BASE={commands.BASE}@{BASE_DIGEST} " in line
        assert "--platform=linux/amd64,linux/arm64 " in line
        assert "--provenance=mode=max" in line
    asked = registry.lines("docker", "buildx", "imagetools")
    assert len([line for line in asked if commands.BASE in line]) == 1


def test_signatures_and_attestations_are_of_digests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = released(tmp_path, monkeypatch)
    images = [f"ghcr.io/radar-audit/radar-audit-{part}@{IMAGE_DIGEST}" for part in IMAGES]
    chart = f"ghcr.io/radar-audit/charts/radar-audit@{CHART_DIGEST}"
    signed = [line.split()[-1] for line in registry.lines("cosign", "sign")]
    assert signed == [*images, chart]
    attested = [line.split()[-1] for line in registry.lines("cosign", "attest")]
    assert attested == [*images, chart]
    contents = json.loads((tmp_path / "hub.spdx.json").read_text())
    assert contents["creationInfo"]["created"] == "2026-01-01T00:00:00Z"
    assert BASE_DIGEST in json.dumps(contents)
    origin = json.loads((tmp_path / "provenance.json").read_text())
    assert origin["buildDefinition"]["resolvedDependencies"][0]["digest"]["gitCommit"] == "c" * 40


@pytest.mark.parametrize("published", ["radar-audit-hub:1.2.3", "charts/radar-audit"])
def test_a_version_that_is_published_is_refused(published: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="is published already, and a version is never"):
        release.check(Job(MADE, Registry(published).run, tmp_path))


def test_a_registry_that_does_not_answer_is_no_leave_to_publish(tmp_path: Path) -> None:
    registry = Registry(trouble="dial tcp: i/o timeout")
    with pytest.raises(ImageError, match="i/o timeout"):
        release.check(Job(MADE, registry.run, tmp_path))


def test_a_step_says_which_one_comes_before_it(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="run `make release-images` first"):
        release.sign(Job(MADE, Registry().run, tmp_path))


def test_the_checkout_has_one_version_and_the_tag_must_be_it() -> None:
    git = Registry().run
    made = this_release(git, {})
    assert this_release(git, {"GITHUB_REF_NAME": f"v{made.version}"}) == made
    with pytest.raises(ImageError, match=r"the tag says 9\.9\.9"):
        this_release(git, {"GITHUB_REF_NAME": "v9.9.9"})


@pytest.mark.timeout(BUILD_SECONDS)
def test_the_chart_is_packaged_under_the_name_that_is_pushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "helm").symlink_to(helm_path())
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    registry = Registry()

    def run(command: list[str]) -> str:
        registry.run(command)
        return release.run(command) if command[:2] == ["helm", "package"] else f"{CHART_DIGEST}"

    release.push_chart(Job(MADE, run, tmp_path))
    (pushed,) = registry.lines("helm", "push")
    archive = Path(pushed.split()[2])
    with tarfile.open(archive) as opened:
        names = opened.getnames()
        about = opened.extractfile("radar-audit/Chart.yaml")
        assert about is not None
        told = yaml.safe_load(about.read())
    assert (told["version"], told["appVersion"]) == ("1.2.3", "1.2.3")
    assert "radar-audit/templates/hub/deployment.yaml" in names


def test_a_program_that_is_missing_is_said_so() -> None:
    with pytest.raises(ImageError, match=r"no-such-program is not installed; see docs/releasing"):
        release.run(["no-such-program"])


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_calls_nothing_but_targets_that_there_are(workflow: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))
    called = [step["run"] for step in steps(workflow) if "run" in step]
    assert called
    for line in called:
        assert re.fullmatch(r"make [a-z-]+", line), line
        assert line.removeprefix("make ") in targets


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_pins_its_actions_and_has_few_rights(workflow: Path) -> None:
    text = workflow.read_text(encoding="utf-8")
    for step in steps(workflow):
        if "uses" in step:
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step["uses"]), step
    told = yaml.safe_load(text)
    assert told["permissions"] == {}
    for job in told["jobs"].values():
        assert job["permissions"]["contents"] == "read"
        assert set(job["permissions"]) <= {"contents", "packages", "id-token"}
    assert all(
        "GITHUB_TOKEN" not in json.dumps(job.get("env", {})) for job in told["jobs"].values()
    )


def test_the_release_is_checked_first_and_every_step_is_in_it() -> None:
    (workflow,) = (path for path in WORKFLOWS if path.name == "release.yml")
    called = [step["run"].removeprefix("make ") for step in steps(workflow) if "run" in step]
    assert called == [
        "release-login", "release-check", "check",
        *(f"release-{step}" for step in STEPS if step != "check"),
    ]  # fmt: skip


def test_the_dockerfile_builds_the_same_parts_as_the_builder_without_docker() -> None:
    text = (ROOT / "scripts" / "images" / "Dockerfile").read_text(encoding="utf-8")
    assert "'hub cli client'" in text
    assert IMAGES["hub"] == tuple(f"radar-audit-{each}" for each in ("hub", "cli", "client"))
    for part in IMAGES:
        assert f'FROM final AS {part}\nENTRYPOINT ["/app/bin/radar-audit-{part}"]' in text
    assert f"ARG BASE={commands.BASE}\n" in text
    for part in ("events", "runtime", "collector", "hub", "operator", "cli", "client"):
        assert f"COPY {part}/pyproject.toml {part}/\n" in text
    ignored = (ROOT / "scripts" / "images" / "Dockerfile.dockerignore").read_text(encoding="utf-8")
    assert ignored.splitlines()[1] == "*"
