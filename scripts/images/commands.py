"""The command lines of a release: buildx, helm, cosign. Pure; `release` runs what it returns.

Images are signed and attested by digest, never by a tag, which may move.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REGISTRY = "ghcr.io/radar-audit"
CHARTS = f"{REGISTRY}/charts"
CHART = "radar-audit"
PLATFORMS = ("linux/amd64", "linux/arm64")
PYTHON = "3.13"
BASE = "docker.io/library/python:3.13-slim-trixie"
_SOURCE = "https://github.com/radar-audit/radar-audit"
_SPDX = "spdxjson"
_SLSA = "slsaprovenance1"


@dataclass(frozen=True)
class Release:
    """What is released: its version ("0.1.0") and the commit it is made from."""

    version: str
    commit: str
    epoch_seconds: int

    def image(self, part: str) -> str:
        """Return the image of `part` with this version as its tag."""
        return f"{REGISTRY}/radar-audit-{part}:{self.version}"


def digest_of(reference: str) -> list[str]:
    """Return what prints the digest of `reference`, and fails where there is none."""
    form = "{{.Manifest.Digest}}"
    return ["docker", "buildx", "imagetools", "inspect", reference, "--format", form]


def build_image(release: Release, part: str, base: str, metadata: Path) -> list[str]:
    """Return what builds and pushes an image from `base` (with digest); notes its digest."""
    labels = {
        "org.opencontainers.image.title": f"radar-audit-{part}",
        "org.opencontainers.image.version": release.version,
        "org.opencontainers.image.revision": release.commit,
        "org.opencontainers.image.source": _SOURCE,
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.base.name": base.partition("@")[0],
        "org.opencontainers.image.base.digest": base.partition("@")[2],
    }
    return [
        "docker", "buildx", "build",
        "--file=scripts/images/Dockerfile",
        f"--platform={','.join(PLATFORMS)}",
        f"--build-arg=PART={part}",
        f"--build-arg=BASE={base}",
        f"--build-arg=SOURCE_DATE_EPOCH={release.epoch_seconds}",
        *(f"--label={name}={value}" for name, value in labels.items()),
        "--provenance=mode=max,version=v1",
        f"--metadata-file={metadata}",
        f"--output=type=registry,name={release.image(part)},rewrite-timestamp=true",
        ".",
    ]  # fmt: skip


def package_chart(release: Release, output: Path) -> list[str]:
    """Return what makes the chart's archive in `output`."""
    return [
        "helm", "package", f"charts/{CHART}", f"--destination={output}",
        f"--version={release.version}", f"--app-version={release.version}",
    ]  # fmt: skip


def push_chart(archive: Path) -> list[str]:
    """Return what pushes the chart's archive; it prints the digest."""
    return ["helm", "push", str(archive), f"oci://{CHARTS}"]


def find_chart(release: Release) -> list[str]:
    """Return what fails where the chart of this version is not published yet."""
    return ["helm", "show", "chart", f"oci://{CHARTS}/{CHART}", f"--version={release.version}"]


def sign(subject: str) -> list[str]:
    """Return what signs `subject` (NAME@DIGEST) with the identity of the workflow."""
    return ["cosign", "sign", "--yes", subject]


def attest_contents(subject: str, document: Path) -> list[str]:
    """Return what attests an SBOM."""
    return ["cosign", "attest", "--yes", f"--type={_SPDX}", f"--predicate={document}", subject]


def attest_origin(subject: str, predicate: Path) -> list[str]:
    """Return what attests from where and by whom `subject` was made."""
    return ["cosign", "attest", "--yes", f"--type={_SLSA}", f"--predicate={predicate}", subject]


def origin(release: Release, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the SLSA provenance (predicate v1) of what GitHub's workflow makes of this release."""
    repository = f"{environ['GITHUB_SERVER_URL']}/{environ['GITHUB_REPOSITORY']}"
    source = {
        "uri": f"git+{repository}@{environ['GITHUB_REF']}",
        "digest": {"gitCommit": release.commit},
    }
    run = f"{repository}/actions/runs/{environ['GITHUB_RUN_ID']}"
    return {
        "buildDefinition": {
            "buildType": "https://actions.github.io/buildtypes/workflow/v1",
            "externalParameters": {
                "workflow": {
                    "ref": environ["GITHUB_REF"],
                    "repository": repository,
                    "path": ".github/workflows/release.yml",
                }
            },
            "resolvedDependencies": [source],
        },
        "runDetails": {
            "builder": {"id": f"{environ['GITHUB_SERVER_URL']}/actions/runner/github-hosted"},
            "metadata": {"invocationId": f"{run}/attempts/{environ['GITHUB_RUN_ATTEMPT']}"},
        },
    }
