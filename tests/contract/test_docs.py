"""Guards the documents: their links lead somewhere, and their commands exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("**/*.md")))
_LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


def code_blocks(page: Path) -> str:
    return "\n".join(re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(page: Path) -> None:
    links = [link for link in _LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    assert not [link for link in links if not (page.parent / link).exists()]


def test_every_make_target_that_is_named_exists() -> None:
    listed = subprocess.run(
        ["make", "-C", ROOT, "help"], capture_output=True, text=True, check=True
    )
    targets = set(re.findall(r"^make (\S+)", listed.stdout, re.MULTILINE))
    assert {"run", "test", "check", "torture", "bench", "docs", "format", "clean"} <= targets
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    named = set(re.findall(r"`make ([a-z0-9-]+)", text + "".join(map(code_blocks, PAGES))))
    assert named <= targets


def test_paths_of_code_that_the_architecture_names_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    parts = "events|collector|hub|operator|cli|client|runtime|tests"
    paths = re.findall(rf"`((?:{parts})/[\w/.]+\.py)`", text)
    assert len(paths) > 5
    assert not [path for path in paths if not (ROOT / path).exists()]
