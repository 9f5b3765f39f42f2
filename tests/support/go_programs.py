"""Builds the tests' small Go programs, once for each state of their sources.

Owns the cache of built programs, outside the checkout (XDG_CACHE_HOME, else ~/.cache).
Called by tests and benchmarks that compare with Go's own HTTP server, and by those that
ask the API server's own validator. Uses the network only for a program whose go.mod
names modules, and only the first time.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
from pathlib import Path

from tests.cluster.places import cache_folder
from tests.cluster.progress import Progress
from tests.cluster.toolchain import go_program

_OLDEST_GO = "1.21.0"


def build(folder: Path, oldest_go: str = _OLDEST_GO) -> Path:
    """Return the program of the Go sources in `folder`, built if it is not there yet.

    ClusterError, which says what to install, when there is no Go and none can be had.
    """
    go = go_program(oldest_go, Progress())
    environ = os.environ | {"GOTOOLCHAIN": "local", "GOFLAGS": "", "CGO_ENABLED": "0"}
    told = subprocess.run([go, "version"], env=environ, capture_output=True, check=True)
    digest = hashlib.sha256(told.stdout)
    for source in sorted(folder.iterdir()):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    built = cache_folder().parent / "go" / f"{folder.name}-{digest.hexdigest()[:16]}"
    built.parent.mkdir(parents=True, exist_ok=True)
    with built.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # workers of one run build it once
        if not built.exists():
            draft = built.with_suffix(".new")
            subprocess.run([go, "build", "-o", draft, "."], cwd=folder, env=environ, check=True)
            draft.replace(built)
    return built
