"""Which installed distributions an image holds: a part's own, and those that it needs.

Called by `layers` and `sbom`. Reads the metadata of the .venv that runs it; downloads nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

from scripts.images.errors import ImageError

ROOT = Path(__file__).parents[2]
# Image -> the distributions that it is for. The hub's has the command line in it, for those who
# have nothing but kubectl. scripts/images/Dockerfile says the same, and a test compares the two.
IMAGES = {
    "collector": ("radar-audit-collector",),
    "hub": ("radar-audit-hub", "radar-audit-cli", "radar-audit-client"),
    "operator": ("radar-audit-operator",),
}
_OURS = "radar-audit-"


def split_closure(parts: Iterable[str]) -> tuple[list[Distribution], list[Distribution]]:
    """Return the installed distributions that `parts` need: ours, and those of others, by name.

    ImageError when one of them is not installed.
    """
    found: dict[str, Distribution] = {}
    waiting = [Requirement(part) for part in parts]
    seen: set[tuple[str, str]] = set()
    while waiting:
        wanted = waiting.pop()
        name = normal_name(wanted.name)
        for extra in {"", *wanted.extras}:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            try:
                found[name] = distribution(name)
            except PackageNotFoundError:
                raise ImageError(f"{name} is not installed; run `scripts/bootstrap`") from None
            for line in found[name].requires or ():
                need = Requirement(line)
                if need.marker is None or need.marker.evaluate({"extra": extra}):
                    waiting.append(need)
    ours = [found[name] for name in sorted(found) if name.startswith(_OURS)]
    others = [found[name] for name in sorted(found) if not name.startswith(_OURS)]
    return ours, others


def normal_name(name: str) -> str:
    """Return a distribution's name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(found: Iterable[Distribution]) -> list[str]:
    """Return each distribution as "name==version"."""
    return [f"{each.name}=={each.version}" for each in found]


def own_files(found: Distribution) -> list[str]:
    """Return a distribution's files in site-packages, without programs in bin/ and bytecode."""
    paths = [str(path) for path in found.files or ()]
    return sorted(path for path in paths if not path.startswith("..") and "__pycache__" not in path)


def package_folder(found: Distribution) -> Path:
    """Return the sources of one of our own distributions: it is installed from the checkout."""
    return ROOT / found.name.removeprefix(_OURS) / found.name.replace("-", "_")


def programs(found: Iterable[Distribution]) -> dict[str, str]:
    """Return the programs that distributions bring, each with its "module:function"."""
    return {
        entry.name: entry.value
        for each in found
        for entry in each.entry_points
        if entry.group == "console_scripts"
    }
