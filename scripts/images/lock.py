"""What uv.lock says an image holds: each package with its version, source and hash.

Called by `sbom`. Pure but for reading the file. It can answer for another Python and another
machine than this one, which what is installed here cannot.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.markers import Marker

from scripts.images.closure import ROOT
from scripts.images.errors import ImageError

_LOCK = ROOT / "uv.lock"


@dataclass(frozen=True)
class Locked:
    """A package of uv.lock; `url` and `sha256` (hexadecimal) are of its source, if it has one."""

    name: str
    version: str
    url: str | None
    sha256: str | None
    needs: tuple[tuple[str, str], ...]

    @property
    def is_ours(self) -> bool:
        """Whether it is a part of this project."""
        return self.name.startswith("radar-audit-")


def locked_closure(
    parts: Iterable[str], python: str = "", machine: str = "x86_64", lock: Path = _LOCK
) -> list[Locked]:
    """Return what `parts` need on a Linux `machine` with Python `python` ("3.13"; "" is ours).

    Sorted by name. ImageError when uv.lock does not know a part.
    """
    minor = python or f"{sys.version_info.major}.{sys.version_info.minor}"
    where = {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{minor}.0",
        "python_version": minor,
        "sys_platform": "linux",
    }
    every = tomllib.loads(lock.read_text(encoding="utf-8"))["package"]
    known = {(each["name"], each["version"]): each for each in every}
    found: dict[tuple[str, str], Locked] = {}
    waiting = [(name, _version(known, name), "") for name in parts]
    seen: set[tuple[str, str, str]] = set()
    while waiting:
        name, version, extra = waiting.pop()
        if (name, version, extra) in seen:
            continue
        seen.add((name, version, extra))
        needed = list(_needs(known, known[name, version], extra, where))
        waiting += needed
        before = found[name, version].needs if (name, version) in found else ()
        needs = {*before, *((need, of) for need, of, _ in needed)}
        found[name, version] = _locked(known[name, version], tuple(sorted(needs)))
    return [found[key] for key in sorted(found)]


def _needs(
    known: dict[tuple[str, str], Any], package: dict[str, Any], extra: str, where: dict[str, str]
) -> Iterator[tuple[str, str, str]]:
    lists = package.get("optional-dependencies", {}).get(extra, ())
    for need in lists if extra else package.get("dependencies", ()):
        if "marker" in need and not Marker(need["marker"]).evaluate({**where, "extra": ""}):
            continue
        version = need.get("version") or _version(known, need["name"])
        yield need["name"], version, ""
        for wanted in need.get("extra", ()):
            yield need["name"], version, wanted


def _version(known: dict[tuple[str, str], Any], name: str) -> str:
    versions = [version for each, version in known if each == name]
    if len(versions) != 1:
        raise ImageError(f"uv.lock has {len(versions)} versions of {name}, not one")
    return versions[0]


def _locked(package: dict[str, Any], needs: tuple[tuple[str, str], ...]) -> Locked:
    files = [package["sdist"]] if "sdist" in package else package.get("wheels", [])
    file = files[0] if files else {}
    digest = str(file.get("hash", "")).removeprefix("sha256:")
    return Locked(package["name"], package["version"], file.get("url"), digest or None, needs)
