"""Prints the path of a usable uv: the one on PATH, else the pinned one, downloaded once.

Called by `scripts/bootstrap`; runs with the standard library alone. The download comes from the
package index that pip or uv would use, is checked against the hash below, and lands in the cache
folder. Never prints an index's password, never runs a file whose hash is not the pinned one.
"""

from __future__ import annotations

import base64
import hashlib
import html.parser
import http.client
import json
import os
import platform
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
VERSION = "0.13.9"
OLDEST = (0, 13)  # the uv that wrote uv.lock; an older one may want to write it anew
WHEELS = {
    ("Linux", "x86_64"): (
        "uv-0.13.9-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19",
    ),
    ("Linux", "aarch64"): (
        "uv-0.13.9-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl",
        "5435c5ce14a56431208ca0996416d310f1598e8c2c8ba707688985a16bb82dbe",
    ),
    ("Darwin", "x86_64"): (
        "uv-0.13.9-py3-none-macosx_10_12_x86_64.whl",
        "c16ed11e013557536b3e60065f1b912f6407bd6518e041b961e23ef9e6b4fbf5",
    ),
    ("Darwin", "arm64"): (
        "uv-0.13.9-py3-none-macosx_11_0_arm64.whl",
        "66c512266d633bef48384a1f53003f41f2a8e7b36fe6e7fbfd3e0fd52d96fa63",
    ),
}
DEFAULT_INDEX = "https://pypi.org/simple"
_INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")
_CA_VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE")
_PAUSES_SECONDS = (1, 3, 9)
_TIMEOUT_SECONDS = 60
_JSON = "application/vnd.pypi.simple.v1+json"


class BootstrapError(Exception):
    """uv cannot be had; the message is the sentence to show."""


def main() -> int:
    """Print the path on standard output; progress and errors go to standard error."""
    try:
        print(on_path() or downloaded())
    except BootstrapError as error:
        say(str(error))
        return 1
    return 0


def say(text: str) -> None:
    """Show one line of progress."""
    print(f"bootstrap: {text}", file=sys.stderr, flush=True)


def index_url() -> str:
    """Return the package index that the environment names, else PyPI; no slash at its end."""
    given = (os.environ.get(name, "") for name in _INDEX_VARIABLES)
    # UV_DEFAULT_INDEX may be "name=https://…".
    urls = (re.sub(r"^[\w.-]+=(?=https?:)", "", url.strip()) for url in given)
    return next((url for url in urls if url), DEFAULT_INDEX).rstrip("/")


def authorities() -> str:
    """Return the file of certificate authorities that the environment names, or ""."""
    return next((os.environ[name] for name in _CA_VARIABLES if os.environ.get(name)), "")


def on_path() -> Path | None:
    """Return the uv on PATH when it runs and is not older than OLDEST."""
    found = shutil.which("uv")
    if not found:
        return None
    try:
        done = subprocess.run(
            [found, "--version"], capture_output=True, text=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.match(r"uv (\d+)\.(\d+)", done.stdout)
    new_enough = version is not None and (int(version[1]), int(version[2])) >= OLDEST
    return Path(found) if new_enough else None


def downloaded() -> Path:
    """Return the pinned uv in the cache folder, fetching it first where it is missing."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "radar-audit"
    program = cache / f"uv-{VERSION}" / "uv"
    if program.exists():
        return program
    machine = (platform.system(), platform.machine())
    if machine not in WHEELS:
        raise BootstrapError(
            f"no uv is pinned for {' '.join(machine)}; install uv {VERSION} so that it is on PATH"
        )
    name, sha256 = WHEELS[machine]
    try:
        program.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BootstrapError(
            f"the cache folder {cache} cannot be made ({error.strerror});"
            " set XDG_CACHE_HOME to a folder that can be written to"
        ) from None
    with tempfile.TemporaryDirectory(dir=program.parent) as folder:
        wheel = Path(folder) / name
        say(f"fetching uv {VERSION} from {without_password(index_url())}")
        fetch(find_file(index_url(), name), wheel)
        actual = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if actual != sha256:
            raise BootstrapError(
                f"{name} has the hash {actual}, not the pinned {sha256}; it is not used."
                " Ask who runs the package index"
            )
        with zipfile.ZipFile(wheel) as archive:
            unpacked = Path(archive.extract(f"uv-{VERSION}.data/scripts/uv", folder))
        unpacked.chmod(0o755)
        unpacked.replace(program)  # whole or not at all, also when two run at once
    return program


def find_file(index: str, name: str) -> str:
    """Return the address of file `name` in the index's page of uv (PEP 691 JSON or PEP 503)."""
    address = f"{index}/uv/"
    body, content_type, address = get(address, f"{_JSON}, text/html;q=0.5")
    if "json" in content_type:
        links: list[str] = [file["url"] for file in json.loads(body)["files"]]
    else:
        parser = _Links()
        parser.feed(body.decode("utf-8", "replace"))
        links = parser.links
    for link in links:
        parts = urllib.parse.urlsplit(urllib.parse.urljoin(address, link))
        if urllib.parse.unquote(parts.path).endswith(f"/{name}"):
            own = urllib.parse.urlsplit(index)  # only the index's own host gets its password
            same_host = parts.netloc == own.netloc.rpartition("@")[2]
            return parts._replace(netloc=own.netloc if same_host else parts.netloc).geturl()
    raise BootstrapError(f"the package index {without_password(index)} does not have {name}")


def get(url: str, accept: str) -> tuple[bytes, str, str]:
    """Return body, content type and final address of a page."""
    return _with_retries(
        url, accept, lambda a: (a.read(), a.headers.get("Content-Type", ""), a.geturl())
    )


def fetch(url: str, target: Path) -> None:
    """Write the file at `url` to `target`, saying how far it is at each quarter."""

    def write(answer: http.client.HTTPResponse) -> None:
        total, done, told = int(answer.headers.get("Content-Length") or 0), 0, 0
        with target.open("wb") as out:
            while block := answer.read(1 << 18):
                out.write(block)
                done += len(block)
                if total and done * 4 // total > told:
                    told = done * 4 // total
                    say(f"{done * 100 // total} % of {total / 1e6:.0f} MB")

    _with_retries(url, "*/*", write)


def without_password(url: str) -> str:
    """Return `url` as it may be shown."""
    parts = urllib.parse.urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="", query="").geturl()


def _with_retries(url: str, accept: str, use: Callable[[http.client.HTTPResponse], T]) -> T:
    shown = without_password(url)
    for pause in (*_PAUSES_SECONDS, None):
        try:
            with urllib.request.urlopen(
                _request(url, accept),
                timeout=_TIMEOUT_SECONDS,
                context=ssl.create_default_context(cafile=authorities() or None),
            ) as answer:
                return use(answer)
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            lasting = False
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it holds the connection
                lasting = error.code < 500
            if pause is None or lasting or isinstance(reason, ssl.SSLCertVerificationError):
                hint = " (install ca-certificates?)" if isinstance(reason, ssl.SSLError) else ""
                raise BootstrapError(f"{shown} cannot be fetched: {error}{hint}") from None
            say(f"{shown}: {error}; trying again in {pause} s")
            time.sleep(pause)
    raise AssertionError


def _request(url: str, accept: str) -> urllib.request.Request:
    parts = urllib.parse.urlsplit(url)
    login, _, host = parts.netloc.rpartition("@")
    bare = parts._replace(netloc=host, fragment="").geturl()
    request = urllib.request.Request(bare, headers={"Accept": accept})
    if login:
        plain = urllib.parse.unquote(login).encode()
        request.add_header("Authorization", f"Basic {base64.b64encode(plain).decode()}")
    return request


class _Links(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value for key, value in attrs if tag == "a" and key == "href" and value]


if __name__ == "__main__":
    sys.exit(main())
