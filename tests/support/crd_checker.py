"""Asks the API server's own packages what they would say of our custom resources.

Owns the process of `go_crds/main.go` and the form of its answers. Called by the tests of the
schemas in `crds/` and by the in-process API server (`api_server.py`). The program takes some
minutes to build on a machine that never built it, and is then kept.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.go_programs import build

CRDS = Path(__file__).parents[2] / "crds"
BUILD_SECONDS = 1200
_OLDEST_GO = "1.25.0"


@dataclass(frozen=True)
class Verdict:
    """The object with defaults and without unknown fields, and what is wrong with it."""

    object: dict[str, Any]
    unknown: tuple[str, ...]
    errors: tuple[str, ...]


class CrdChecker:
    """A running validator; one question at a time, whoever asks."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._lock = threading.Lock()

    def check(self, new: dict[str, Any], old: dict[str, Any] | None = None) -> Verdict:
        """Return the verdict on creating `new`, or on changing `old` into it."""
        asked = json.dumps({"kind": new["kind"], "object": new, "old": old}).encode() + b"\n"
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(asked)
            self._process.stdin.flush()
            answer = json.loads(self._process.stdout.readline())
        unknown, errors = tuple(answer["unknown"] or ()), tuple(answer["errors"])
        return Verdict(answer["object"], unknown, errors)


@contextlib.contextmanager
def running_checker(crds: Path = CRDS) -> Iterator[CrdChecker]:
    """Run the validator over the definitions in `crds`; a wrong definition ends it at once."""
    program = build(Path(__file__).with_name("go_crds"), _OLDEST_GO)
    files = sorted(map(str, crds.glob("*.yaml")))
    with subprocess.Popen(
        [program, *files], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            yield CrdChecker(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(10)
