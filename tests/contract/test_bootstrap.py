"""Guards how a bare machine gets uv: from the chosen index, only with the pinned hash."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import stat
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scripts import get_uv

NAME = "uv-9.9.9-py3-none-any.whl"
PASSWORD = "do-not-show"


def wheel() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("uv-9.9.9.data/scripts/uv", "#!/bin/sh\necho it runs\n")
    return made.getvalue()


class Index:
    """A package index on loopback; `pages` maps a path to (status, type, body)."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[int, str, bytes]] = {"/files/" + NAME: (200, "x/y", wheel())}
        self.asked: list[tuple[str, str | None]] = []
        self.faults = 0
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.asked.append((self.path, self.headers["Authorization"]))
                status, kind, body = index.pages.get(self.path, (404, "text/plain", b""))
                if index.faults:
                    index.faults, status = index.faults - 1, 503
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        ThreadingHTTPServer.daemon_threads = False
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_address[1]}"

    def serve_html(self) -> None:
        link = f'<a href="../../files/{NAME}#sha256=00">{NAME}</a>'
        self.pages["/simple/uv/"] = (200, "text/html", f"<a href='other.whl'>x</a>{link}".encode())

    def serve_json(self) -> None:
        body = json.dumps({"files": [{"url": f"http://{self.host}/files/{NAME}"}]}).encode()
        self.pages["/simple/uv/"] = (200, "application/vnd.pypi.simple.v1+json", body)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """An index that the environment names, for a machine whose uv is pinned to `wheel()`."""
    index = Index()
    for name in (*get_uv._INDEX_VARIABLES, *get_uv._CA_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://me:{PASSWORD}@{index.host}/simple/")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(get_uv, "VERSION", "9.9.9")
    monkeypatch.setattr(get_uv, "_PAUSES_SECONDS", (0, 0))
    machine = (platform.system(), platform.machine())
    pinned = (NAME, hashlib.sha256(wheel()).hexdigest())
    monkeypatch.setattr(get_uv, "WHEELS", {machine: pinned})
    thread = threading.Thread(target=index.server.serve_forever, args=(0.01,))
    thread.start()
    yield index
    index.server.shutdown()
    index.server.server_close()
    thread.join()


@pytest.mark.parametrize("kind", ["html", "json"])
def test_uv_comes_from_the_index_and_is_kept(
    index: Index, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index.serve_html() if kind == "html" else index.serve_json()
    program = get_uv.downloaded()
    assert subprocess.check_output([program]) == b"it runs\n"
    assert program.is_relative_to(tmp_path)
    asked = len(index.asked)
    assert get_uv.downloaded() == program
    assert len(index.asked) == asked
    assert {login for _, login in index.asked} == {"Basic bWU6ZG8tbm90LXNob3c="}
    assert PASSWORD not in capsys.readouterr().err


def test_a_file_with_another_hash_is_not_used(index: Index, tmp_path: Path) -> None:
    index.serve_html()
    index.pages["/files/" + NAME] = (200, "x/y", wheel() + b"!")
    with pytest.raises(get_uv.BootstrapError, match="not the pinned"):
        get_uv.downloaded()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_passing_fault_is_tried_again(index: Index) -> None:
    index.serve_html()
    index.faults = 2
    assert get_uv.downloaded().stat().st_mode & stat.S_IXUSR


def test_a_lasting_fault_is_told_without_the_password(index: Index) -> None:
    with pytest.raises(get_uv.BootstrapError) as caught:
        get_uv.downloaded()
    assert f"http://{index.host}/simple/uv/ cannot be fetched" in str(caught.value)
    assert PASSWORD not in str(caught.value)
    assert len(index.asked) == 1


def test_an_index_without_the_file_is_named(index: Index) -> None:
    index.pages["/simple/uv/"] = (200, "text/html", b"<a href='uv-1.whl'>old</a>")
    with pytest.raises(get_uv.BootstrapError, match=f"does not have {NAME}"):
        get_uv.downloaded()


def test_an_unknown_machine_is_told_what_to_do(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(get_uv, "WHEELS", {})
    with pytest.raises(get_uv.BootstrapError, match=r"install uv 9\.9\.9"):
        get_uv.downloaded()


def test_a_cache_that_cannot_be_made_is_told_what_to_do(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(file))
    with pytest.raises(get_uv.BootstrapError, match="set XDG_CACHE_HOME"):
        get_uv.downloaded()


@pytest.mark.parametrize(
    "said, is_used",
    [("uv 0.13.9 (x)", True), ("uv 1.0.0", True), ("uv 0.12.9", False), ("what?", False)],
)
def test_only_a_new_enough_uv_on_the_path_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, is_used: bool
) -> None:
    program = tmp_path / "uv"
    program.write_text(f"#!/bin/sh\necho '{said}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert get_uv.on_path() == (program if is_used else None)


def test_the_pinned_wheels_are_of_the_pinned_version() -> None:
    assert all(name.startswith(f"uv-{get_uv.VERSION}-") for name, _ in get_uv.WHEELS.values())
    version = tuple(int(part) for part in get_uv.VERSION.split(".")[:2])
    assert version >= get_uv.OLDEST
