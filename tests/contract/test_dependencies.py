"""Guards the libraries that the parts run with: each has its reason, none is under the GPL."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "decisions" / "0001-dependencies.md"
PARTS = ("events", "runtime", "collector", "hub", "operator", "cli", "client")


def named(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def required_by_parts() -> dict[str, set[str]]:
    """Return library -> parts, from the parts' pyproject files."""
    needs: dict[str, set[str]] = {}
    for part in PARTS:
        project = tomllib.loads((ROOT / part / "pyproject.toml").read_text())["project"]
        for requirement in project["dependencies"]:
            if not requirement.startswith("radar-audit-"):
                needs.setdefault(named(requirement), set()).add(part)
    return needs


def documented() -> dict[str, set[str]]:
    """Return library -> parts, from the first table of the page."""
    table = PAGE.read_text(encoding="utf-8").split("\n## ")[2]
    rows = [line.split("|") for line in table.splitlines() if line.count("|") == 5]
    cells = [(named(row[1].strip()), row[2]) for row in rows[1:] if not row[1].startswith("--")]
    return {name: {part.strip() for part in parts.split(",")} for name, parts in cells}


def with_theirs(names: set[str]) -> set[str]:
    """Return the installed libraries `names` and all that they need."""
    seen: set[str] = set()
    waiting = set(names)
    while waiting:
        name = waiting.pop()
        try:
            needs = distribution(name).requires or []
        except PackageNotFoundError:
            continue  # for another Python or another system
        seen.add(name)
        waiting |= {named(need) for need in needs if "extra ==" not in need} - seen
    return seen


def test_every_library_of_a_part_has_its_reason() -> None:
    assert documented() == required_by_parts()


def test_no_library_is_under_the_gpl() -> None:
    libraries = with_theirs(set(required_by_parts()) | {"greenlet"})
    assert len(libraries) > 15
    for name in libraries:
        about = distribution(name).metadata
        claims = [str(about[key]) for key in ("License-Expression", "License") if key in about]
        claims += [line for line in about.get_all("Classifier") or [] if "License" in line]
        assert any(claims), f"{name} names no licence"
        assert "GPL" not in " ".join(claim[:200] for claim in claims), name
