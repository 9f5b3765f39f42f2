"""The steps of a release, each behind a `make release-…`: check, images, chart, SBOM, signatures.

Owns their order's needs: what a step makes for a later one lies in build/release/. Each command
is shown before it runs. Never overwrites a version, never handles a token (`make release-login`
does).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.images import commands
from scripts.images.closure import IMAGES, ROOT
from scripts.images.commands import Release
from scripts.images.errors import ImageError
from scripts.images.sbom import sbom

OUTPUT = ROOT / "build" / "release"
_MISSING = re.compile(r"not found|manifest unknown|name unknown|denied: not exist", re.IGNORECASE)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PARTS = ("events", "runtime", "collector", "hub", "operator", "cli", "client")

Run = Callable[[list[str]], str]


@dataclass(frozen=True)
class Job:
    """What each step has: the release, what runs a command, where steps leave what they made."""

    release: Release
    run: Run
    output: Path


def run(command: list[str]) -> str:
    """Run a command of a release and return what it prints. ImageError when it fails."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ImageError(f"{command[0]} is not installed; see docs/releasing.md") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-1000:]
        raise ImageError(f"`{' '.join(command[:4])} …` failed: {said}")
    return done.stdout or done.stderr  # helm tells the digest of what it pushed on standard error


def this_release(run: Run = run, environ: Mapping[str, str] = os.environ) -> Release:
    """Return the release of this checkout. ImageError when its files or its tag do not agree."""
    told = {f"{part}/pyproject.toml": _project_version(part) for part in _PARTS}
    chart = (ROOT / "charts" / commands.CHART / "Chart.yaml").read_text(encoding="utf-8")
    for field in ("version", "appVersion"):
        found = re.search(rf'^{field}: "?([^"\s]+)"?$', chart, re.MULTILINE)
        told[f"Chart.yaml's {field}"] = found[1] if found else "none"
    tag = environ.get("GITHUB_REF_NAME")
    if tag is not None:
        told["the tag"] = tag.removeprefix("v")
    versions = set(told.values())
    if len(versions) > 1:
        said = ", ".join(f"{name} says {version}" for name, version in told.items())
        raise ImageError(f"one release has one version, but {said}")
    commit = run(["git", "rev-parse", "HEAD"]).strip()
    epoch = run(["git", "log", "-1", "--format=%ct"]).strip()
    return Release(versions.pop(), commit, int(epoch or 0))


def check(job: Job) -> None:
    """Refuse a version of which anything is published. ImageError also when that is not known."""
    looks = {
        job.release.image(part): commands.digest_of(job.release.image(part)) for part in IMAGES
    }
    looks[f"the chart {job.release.version}"] = commands.find_chart(job.release)
    for name, command in looks.items():
        try:
            job.run(command)
        except ImageError as error:
            if not _MISSING.search(str(error)):
                raise
        else:
            raise ImageError(f"{name} is published already, and a version is never overwritten")


def build_images(job: Job) -> None:
    """Build and push the three images from one base, by its digest."""
    base = pinned_base(job)
    for part in IMAGES:
        job.run(commands.build_image(job.release, part, base, job.output / f"{part}.json"))


def pinned_base(job: Job) -> str:
    """Return the base with its digest; asked of the registry once, then kept in `output`."""
    kept = job.output / "base.txt"
    if kept.exists():
        return kept.read_text(encoding="utf-8").strip()
    digest = _digest(job.run(commands.digest_of(commands.BASE)), commands.BASE)
    kept.write_text(f"{commands.BASE}@{digest}\n", encoding="utf-8")
    return f"{commands.BASE}@{digest}"


def push_chart(job: Job) -> None:
    """Package the chart, push it, and note its digest."""
    job.run(commands.package_chart(job.release, job.output))
    archive = job.output / f"{commands.CHART}-{job.release.version}.tgz"
    digest = _digest(job.run(commands.push_chart(archive)), "the chart")
    (job.output / "chart.txt").write_text(digest + "\n", encoding="utf-8")


def attest_contents(job: Job) -> None:
    """Write the SBOM of each image and attest it."""
    base = pinned_base(job)
    for part in IMAGES:
        document = job.output / f"{part}.spdx.json"
        environ = {"SOURCE_DATE_EPOCH": str(job.release.epoch_seconds)}
        document.write_text(sbom(part, commands.PYTHON, base, environ), encoding="utf-8")
        job.run(commands.attest_contents(_image(part, job.output), document))


def sign(job: Job) -> None:
    """Sign the images and the chart."""
    for subject in subjects(job.output):
        job.run(commands.sign(subject))


def attest_origin(job: Job) -> None:
    """Attest where the chart comes from; the images have buildx's provenance with them."""
    predicate = job.output / "provenance.json"
    text = json.dumps(commands.origin(job.release, os.environ), indent=2)
    predicate.write_text(text, encoding="utf-8")
    job.run(commands.attest_origin(_chart(job.output), predicate))


def subjects(output: Path) -> Iterator[str]:
    """Yield what a release consists of, as NAME@DIGEST. ImageError when a step was left out."""
    yield from (_image(part, output) for part in IMAGES)
    yield _chart(output)


def _image(part: str, output: Path) -> str:
    text = _kept(output / f"{part}.json", "release-images")
    digest = _digest(str(json.loads(text).get("containerimage.digest")), part)
    return f"{commands.REGISTRY}/radar-audit-{part}@{digest}"


def _chart(output: Path) -> str:
    text = _kept(output / "chart.txt", "release-chart")
    return f"{commands.CHARTS}/{commands.CHART}@{_digest(text, 'the chart')}"


def _kept(path: Path, step: str) -> str:
    if not path.exists():
        raise ImageError(f"{path.name} is not there; run `make {step}` first")
    return path.read_text(encoding="utf-8")


def _digest(text: str, name: str) -> str:
    found = _DIGEST.search(text)
    if found is None:
        raise ImageError(f"the digest of {name} was not told")
    return found[0]


def _project_version(part: str) -> str:
    text = (ROOT / part / "pyproject.toml").read_text(encoding="utf-8")
    return str(tomllib.loads(text)["project"]["version"])


STEPS: Mapping[str, Callable[[Job], None]] = {
    "check": check,
    "images": build_images,
    "chart": push_chart,
    "sbom": attest_contents,
    "sign": sign,
    "provenance": attest_origin,
}


def main(arguments: list[str]) -> int:
    """Do the step that `arguments` say; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.images.release")
    parser.add_argument("step", choices=STEPS)
    options = parser.parse_args(arguments)
    OUTPUT.mkdir(parents=True, exist_ok=True)

    def told(command: list[str]) -> str:
        print("+", *command, flush=True)
        return run(command)

    try:
        STEPS[options.step](Job(this_release(), told, OUTPUT))
    except ImageError as error:
        sys.stderr.write(f"release: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
