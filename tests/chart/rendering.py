"""Renders the chart with the real helm, once for each set of values, and reads what comes out.

Owns the running of helm and the form of what it rendered. Called by the tests of the chart and by
`python -m tests.chart.golden`. What helm prints after an install comes with the objects: a copy of
the chart has one template more, which writes it as an object. Never talks to a cluster.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.tools import helm_path

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "radar-audit"
SETS = Path(__file__).parent / "value_sets"
NOTES = 'kind: Notes\nmetadata: {name: notes}\ntext: {{ include "radar-audit.notes" . | quote }}\n'
_NOTES_FILE = "notes-as-object.yaml"
KUBERNETES = "1.36.0"
Object = dict[str, Any]


@dataclass(frozen=True)
class Rendered:
    """The objects of one release, those of hooks among them, and its notes."""

    objects: tuple[Object, ...]
    notes: str

    def of(self, *kinds: str) -> list[Object]:
        """Return the objects of these kinds, in the order in which they came."""
        return [each for each in self.objects if each["kind"] in kinds]

    def one(self, kind: str, name: str) -> Object:
        """Return the one object of this kind and name."""
        (found,) = (each for each in self.of(kind) if each["metadata"]["name"] == name)
        return found

    def pods(self) -> Iterator[tuple[str, Object]]:
        """Yield each pod's name and spec, whatever makes it."""
        for each in self.objects:
            if each["kind"] in {"Deployment", "DaemonSet"}:
                yield each["metadata"]["name"], each["spec"]["template"]["spec"]
            elif each["kind"] == "Pod":
                yield each["metadata"]["name"], each["spec"]


class RefusedError(Exception):
    """Helm did not render; the message is what it said."""


class Helm:
    """Helm over a copy of the chart in `folder`; what it rendered is kept."""

    def __init__(self, folder: Path) -> None:
        """Copy the chart."""
        self.chart = folder / "radar-audit"
        shutil.copytree(CHART, self.chart)
        (self.chart / "templates" / _NOTES_FILE).write_text(NOTES, encoding="utf-8")
        self._folder = folder
        self._rendered: dict[str, Rendered] = {}

    def render(self, values: Mapping[str, Any] | str | None = None, *more: str) -> Rendered:
        """Return what values make of the chart; a text is the name of a set in value_sets/.

        `more` are arguments of `helm template`. Raises RefusedError.
        """
        given = values_of(values) if isinstance(values, str) else dict(values or {})
        key = json.dumps([given, more], sort_keys=True)
        if key not in self._rendered:
            self._rendered[key] = read(self.text(given, *more))
        return self._rendered[key]

    def notes(self, values: Mapping[str, Any]) -> str:
        """Return the notes alone, which is quicker. Raises RefusedError."""
        return read(self.text(values, "-s", f"templates/{_NOTES_FILE}")).notes

    def text(self, values: Mapping[str, Any], *more: str, chart: Path | None = None) -> str:
        """Return what helm prints for these values. Raises RefusedError."""
        file = self._folder / "values.json"
        file.write_text(json.dumps(values), encoding="utf-8")
        arguments = ["template", "radar-audit", str(chart or self.chart), "-n", "radar-audit"]
        arguments += ["--kube-version", KUBERNETES, "-f", str(file), *more]
        return run(arguments)

    def refusal(self, values: Mapping[str, Any], *more: str) -> str:
        """Return what helm says to values that it must refuse."""
        try:
            self.text(values, *more)
        except RefusedError as error:
            return str(error)
        raise AssertionError(f"helm takes {json.dumps(values)}")


def run(arguments: Sequence[str]) -> str:
    """Run helm without any cluster's configuration; return its output. Raises RefusedError."""
    environ = os.environ | {"KUBECONFIG": os.devnull, "HELM_NO_PLUGINS": "1"}
    done = subprocess.run(
        [str(helm_path()), *arguments], env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RefusedError(done.stderr)
    return done.stdout


def read(text: str) -> Rendered:
    """Read what helm printed."""
    objects = [
        each for part in re.split(r"^---$", text, flags=re.MULTILINE) for each in _read(part)
    ]
    notes = "\n".join(each["text"] for each in objects if each["kind"] == "Notes")
    return Rendered(tuple(each for each in objects if each["kind"] != "Notes"), notes)


@cache
def _read(part: str) -> tuple[Object, ...]:
    """Read one document; most are the same for most values, and nobody changes what is read."""
    found = yaml.load(part, Loader=yaml.CSafeLoader)
    return (found,) if found else ()


def values_of(name: str) -> dict[str, Any]:
    """Return the values of a set."""
    return yaml.safe_load((SETS / f"{name}.yaml").read_text(encoding="utf-8")) or {}


def set_names() -> list[str]:
    """Return the names of all sets."""
    return sorted(path.stem for path in SETS.glob("*.yaml"))
