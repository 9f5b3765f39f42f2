"""Finds a Go that is new enough for a Kubernetes release, else downloads one into the cache.

Called by `binaries`. The download is the module golang.org/toolchain from the Go module proxy
(GOPROXY), as Go's own `GOTOOLCHAIN` would fetch it, and has to have the content hash below. Never
changes an installed Go.
"""

from __future__ import annotations

import base64
import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
import urllib.request
import zipfile
from collections.abc import Mapping
from pathlib import Path

from tests.cluster.errors import ClusterError
from tests.cluster.places import cache_folder
from tests.cluster.progress import Progress

_VERSION = "1.26.8"
# Machine -> Go's name of it, and the hash as go.sum would have it.
_HASHES = {
    "x86_64": ("amd64", "h1:ZOmGe1OnfREDMIdb1Qi4G9JSuDPBLGExZMQ4nis1RXM="),
    "aarch64": ("arm64", "h1:sYL/O6MqS68ML0kjsQ36WoYIpJqkw60TxizWUYUKQMc="),
}
_INSTALLED = Path("/usr/local/go/bin/go")  # where go.dev says to unpack it, off many a PATH
_PROXY = "https://proxy.golang.org"
_TIMEOUT_SECONDS = 60
_CHUNK_BYTES = 1 << 20


def go_program(wanted: str, say: Progress) -> str:
    """Return the path of a Go of version `wanted` ("1.24.0") or newer.

    ClusterError when there is none and none can be had.
    """
    cached = cache_folder() / "go" / _VERSION / "bin" / "go"
    for candidate in (shutil.which("go"), str(_INSTALLED), str(cached)):
        if candidate is not None and _is_new_enough(candidate, wanted):
            return candidate
    if _numbers(_VERSION) < _numbers(wanted) or platform.machine() not in _HASHES:
        raise ClusterError(f"install Go {wanted} or newer (https://go.dev/dl/), and try again")
    _download(cached.parents[1], say)
    return str(cached)


def proxy(environ: Mapping[str, str] = os.environ) -> str:
    """Return the address of the Go module proxy, the first that GOPROXY names."""
    named = re.split(r"[,|]", environ.get("GOPROXY", ""))
    return next((each.rstrip("/") for each in named if "://" in each), _PROXY)


def content_hash(archive: Path) -> str:
    """Return the hash of a module's archive as go.sum has it: over names and contents of files."""
    total = hashlib.sha256()
    with zipfile.ZipFile(archive) as opened:
        for name in sorted(opened.namelist()):
            one = hashlib.sha256()
            with opened.open(name) as content:
                while chunk := content.read(_CHUNK_BYTES):
                    one.update(chunk)
            total.update(f"{one.hexdigest()}  {name}\n".encode())
    return "h1:" + base64.b64encode(total.digest()).decode()


def unpack(archive: Path, folder: Path) -> None:
    """Unpack the toolchain's archive as `folder`; its programs become executable."""
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)
    (root,) = (folder / "golang.org").iterdir()
    # A module's archive keeps no modes.
    for program in (*root.glob("bin/*"), *root.glob("pkg/tool/*/*")):
        program.chmod(0o755)
    for path in root.iterdir():
        path.rename(folder / path.name)
    shutil.rmtree(folder / "golang.org")


def _download(folder: Path, say: Progress) -> None:
    architecture, known = _HASHES[platform.machine()]
    url = f"{proxy()}/golang.org/toolchain/@v/v0.0.1-go{_VERSION}.linux-{architecture}.zip"
    say(f"downloading Go {_VERSION}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        archive = Path(scratch) / "go.zip"
        try:
            with (
                urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer,
                archive.open("wb") as file,
            ):
                shutil.copyfileobj(answer, file)
        except OSError as error:
            raise ClusterError(
                f"Go {_VERSION} cannot be downloaded ({error}); install it (https://go.dev/dl/)"
            ) from error
        if content_hash(archive) != known:
            raise ClusterError(f"what the Go module proxy gives as Go {_VERSION} is something else")
        fresh = Path(scratch) / "go"
        unpack(archive, fresh)
        fresh.rename(folder)


def _is_new_enough(go: str, wanted: str) -> bool:
    environ = os.environ | {"GOTOOLCHAIN": "local"}
    try:
        told = subprocess.run(
            [go, "env", "GOVERSION"], env=environ, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return False
    return _numbers(told.stdout) >= _numbers(wanted)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)[:3]]
