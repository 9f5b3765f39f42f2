"""Programs of Debian's that tests and benchmarks hold ours against: found, or fetched by apt.

Owns how they are come by. Called by the gateway's benchmark and by the tests of metric names.
Never skips silently: without the program its caller gets an error with the command to type.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.cluster.places import cache_folder

_SYSTEM = ("/usr/sbin", "/usr/local/sbin")  # off many a PATH


class ProgramMissingError(Exception):
    """A program could not be had; the message says what to type."""


def found(name: str) -> Path | None:
    """Return an installed program."""
    path = os.pathsep.join((os.environ.get("PATH", ""), *_SYSTEM))
    where = shutil.which(name, path=path)
    return None if where is None else Path(where)


def installed(name: str, package: str) -> Path:
    """Return a program, installed first where it is missing and we are root."""
    if found(name) is None and os.geteuid() == 0:
        _run(name, package, "apt-get", "update", "-q")
        _run(name, package, "apt-get", "install", "-y", "-q", "--no-install-recommends", package)
    program = found(name)
    if program is None:
        raise ProgramMissingError(_advice(name, package))
    return program


def unpacked(name: str, package: str) -> Path:
    """Return a program that needs nothing else of its package; the package is not installed.

    So no service of the package's is started, either. It is kept in the cache.
    """
    folder = cache_folder().parent / "debian" / package
    kept = folder / "usr" / "bin" / name
    program = found(name) or (kept if kept.exists() else None)
    if program is not None:
        return program
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as draft:
        if os.geteuid() == 0:
            _run(name, package, "apt-get", "update", "-q")
        # The user that apt drops to could not write here.
        sandbox = ("-o", "APT::Sandbox::User=root")
        _run(name, package, "apt-get", *sandbox, "download", "-q", package, folder=draft)
        (archive,) = Path(draft).glob("*.deb")
        _run(name, package, "dpkg-deb", "-x", archive.name, "files", folder=draft)
        shutil.rmtree(folder, ignore_errors=True)
        (Path(draft) / "files").rename(folder)
    return kept


def _advice(name: str, package: str) -> str:
    return f"{name} is not installed; type `sudo apt-get install -y {package}`"


def _run(name: str, package: str, *command: str, folder: str | None = None) -> None:
    environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environ, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise ProgramMissingError(_advice(name, package)) from None
    if done.returncode:
        said = done.stderr.strip()[-1000:]
        raise ProgramMissingError(
            f"{_advice(name, package)} (`{' '.join(command)}` failed: {said})"
        )
