"""Makes .venv hold exactly the packages of uv.lock and the workspace's own parts.

Called by `scripts/bootstrap` with the path of uv and of the Python to use. With a package index
of one's own (a mirror) uv would find the lock outdated, since it names PyPI; so the same versions
are then installed from the mirror, held to the lock's hashes. Never changes uv.lock.
"""

from __future__ import annotations

import hashlib
import os
import ssl
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from scripts.get_uv import DEFAULT_INDEX, authorities, index_url, say, without_password

ENVIRONMENT = Path(".venv")
_STAMP = ENVIRONMENT / "radar-audit-lock.sha256"


def main() -> int:
    """Return uv's exit code; what uv says is shown."""
    uv, python = sys.argv[1:]
    # uv would follow another active environment, or one that a variable names, instead of .venv.
    environ = {k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"}
    environ |= {"UV_PROJECT_ENVIRONMENT": str(ENVIRONMENT), "UV_COMPILE_BYTECODE": "true"}
    if sys.platform == "darwin" or ssl.get_default_verify_paths().cafile:
        environ.setdefault("UV_SYSTEM_CERTS", "true")  # a company's own authority counts
    if authorities():
        environ.setdefault("SSL_CERT_FILE", authorities())
    try:
        if index_url() == DEFAULT_INDEX:
            quiet = ["--quiet"] if ENVIRONMENT.exists() else []
            _run([uv, "sync", "--locked", "--python", python, *quiet], environ)
        else:
            _from_mirror(uv, python, environ)
    except subprocess.CalledProcessError as error:
        say("uv could not install the packages; what it says above is the reason")
        return int(error.returncode)
    return 0


def _from_mirror(uv: str, python: str, environ: dict[str, str]) -> None:
    members = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["uv"]["workspace"][
        "members"
    ]
    inputs = [Path("uv.lock"), *(Path(member) / "pyproject.toml" for member in members)]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in inputs)).hexdigest()
    if _STAMP.exists() and _STAMP.read_text() == digest:
        return
    say(f"installing the versions of uv.lock from {without_password(index_url())}")
    environ |= {"UV_DEFAULT_INDEX": index_url()}
    environ.pop("UV_INDEX_URL", None)
    if not ENVIRONMENT.exists():
        _run([uv, "venv", "--quiet", "--python", python, str(ENVIRONMENT)], environ)
    with tempfile.TemporaryDirectory() as folder:
        pins = str(Path(folder) / "requirements.txt")
        export = ["export", "--frozen", "--quiet", "--no-emit-workspace", "--output-file", pins]
        _run([uv, *export], environ)
        install = [uv, "pip", "sync", "--python", str(ENVIRONMENT / "bin" / "python")]
        _run([*install, "--require-hashes", pins], environ)
    install[2] = "install"
    editable = [word for member in members for word in ("--editable", f"./{member}")]
    _run([*install, "--no-deps", *editable], environ)
    _STAMP.write_text(digest)


def _run(command: list[str], environ: dict[str, str]) -> None:
    subprocess.run(command, env=environ, check=True, stdout=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
