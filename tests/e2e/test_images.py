"""Guards that two builds of an image are the same image, whatever ran them and where."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.images.closure import ROOT

pytestmark = pytest.mark.timeout(300)


def built(folder: Path, seed: str) -> tuple[str, bytes, str]:
    """Build the collector's image from nothing; return its id, its archive and its SBOM."""
    command = [sys.executable, "-m", "scripts.images", "collector"]
    command += ["--layers", str(folder / "layers"), "--output", str(folder / "output")]
    environ = os.environ | {"PYTHONHASHSEED": seed}
    done = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True
    )
    (found,) = re.findall(r" (sha256:[0-9a-f]{64}) ", done.stdout)
    archive = (folder / "output" / "collector.oci.tar").read_bytes()
    return found, archive, (folder / "output" / "collector.spdx.json").read_text(encoding="utf-8")


def test_two_builds_from_nothing_are_the_same_image(tmp_path: Path) -> None:
    assert built(tmp_path / "one", "1") == built(tmp_path / "other", "2")
