"""A real PostgreSQL for tests, benchmarks and torture runs.

Owns finding, installing, starting and sharing one throw-away server. `tests/conftest.py` makes
fixtures of it; other programs use `running_postgres`. It never skips: without a server it fails
with the command to type, and it never touches a server that it did not start.

In this order: the DSN in RADAR_AUDIT_TEST_POSTGRES_DSN (its user must be able to create
databases), installed binaries, and for root Debian's package.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

import asyncpg

from tests.support.postgres_guard import as_account

DSN_VARIABLE = "RADAR_AUDIT_TEST_POSTGRES_DSN"
_START_SECONDS = 100.0  # on a busy machine
_NO_SETTINGS: Mapping[str, str] = MappingProxyType({})
_STARTS = 3  # another process may take the free port that was found
_NOT_FOUND = (
    "no PostgreSQL server programs were found; type `sudo apt-get install -y postgresql`"
    f" (or your system's like), or set {DSN_VARIABLE} to the DSN of a server to use"
)


class PostgresMissingError(Exception):
    """No server could be had; the message says what to type."""


@dataclass(frozen=True)
class Server:
    """A running server; `dsn` names its maintenance database, as `postgresql://user:…@host/db`."""

    dsn: str

    @contextlib.contextmanager
    def fresh_database(self, template: str = "template0") -> Iterator[str]:
        """Create a database as a copy of `template`, yield its DSN, and drop it."""
        name = f"radar_audit_test_{secrets.token_hex(6)}"
        _in_thread(_copy(self.dsn, template, name))
        try:
            yield urlsplit(self.dsn)._replace(path=f"/{name}").geturl()
        finally:
            self.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def execute(self, statement: str) -> None:
        """Run one statement outside a transaction; works inside a running event loop as well."""
        _in_thread(_execute(self.dsn, statement))


@contextlib.contextmanager
def running_postgres(
    *, fsync: bool = True, settings: Mapping[str, str] = _NO_SETTINGS
) -> Iterator[Server]:
    """Yield a server that lives as long as the block; `fsync=False` is only for unit tests.

    `settings` are further ones of postgresql.conf; a server given by DSN is taken as it is.
    """
    given = os.environ.get(DSN_VARIABLE)
    if given:
        yield Server(given)
        return
    guard, server = _start(os.getpid(), fsync=fsync, settings=settings)
    try:
        yield server
    finally:
        os.kill(guard, signal.SIGTERM)
        os.waitpid(guard, 0)


def shared_postgres(folder: Path, owner_pid: int) -> Server:
    """Return the one server of a test run; the first process that asks starts it.

    `folder` is common to the processes of the run; the server ends with the process `owner_pid`.
    """
    given = os.environ.get(DSN_VARIABLE)
    if given:
        return Server(given)
    note = folder / "postgres.dsn"
    with (folder / "postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not note.exists():
            _, server = _start(owner_pid, fsync=False)
            note.write_text(server.dsn)
        return Server(note.read_text())


def _in_thread(work: Coroutine[None, None, None]) -> None:
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(asyncio.run, work).result()


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _copy(dsn: str, template: str, name: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        # Since 15 a copy goes page by page through the write-ahead log, unless told otherwise.
        how = " STRATEGY file_copy" if connection.get_server_version().major >= 15 else ""
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"{how}')
    finally:
        await connection.close()


def _start(
    owner_pid: int, *, fsync: bool, settings: Mapping[str, str] = _NO_SETTINGS
) -> tuple[int, Server]:
    binaries = _find_binaries() or _install()
    ids = _account_ids()
    folder = Path(tempfile.mkdtemp(prefix="radar-audit-postgres-"))
    password = secrets.token_urlsafe(16)
    options = {"shared_buffers": "64MB", "fsync": "on" if fsync else "off", **settings}
    try:
        _initialise(binaries, folder, ids, password)
        for _ in range(_STARTS):
            port = _free_port()
            guard = _spawn(binaries, folder, ids, owner_pid, port, options)
            server = Server(f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres")
            if _answers(server, guard):
                return guard, server
        log = (folder / "server.log").read_text(errors="replace")[-2000:]
        raise PostgresMissingError(f"PostgreSQL ({binaries}) does not start; its log ends:\n{log}")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _find_binaries() -> Path | None:
    found = shutil.which("initdb")
    near = [Path(found).resolve().parent] if found else []
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    folders = [*near, *debian, Path("/usr/local/pgsql/bin")]
    return next((f for f in folders if (f / "initdb").exists() and (f / "postgres").exists()), None)


def _version(folder: Path) -> float:
    try:
        return float(folder.parent.name)
    except ValueError:
        return 0.0


def _install() -> Path:
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise PostgresMissingError(_NOT_FOUND)
    environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update"], ["apt-get", "install", "-y", "postgresql"]):
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stdout + done.stderr)[-1000:]
            raise PostgresMissingError(f"`{' '.join(command)}` failed; {_NOT_FOUND}\n{said}")
    binaries = _find_binaries()
    if binaries is None:
        raise PostgresMissingError(_NOT_FOUND)
    return binaries


def _account_ids() -> str:
    """Return "uid:gid" of an unprivileged account when we are root (PostgreSQL refuses root)."""
    if os.geteuid() != 0:
        return ""
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return f"{entry.pw_uid}:{entry.pw_gid}"
    return "65534:65534"


def _initialise(binaries: Path, folder: Path, ids: str, password: str) -> None:
    secret = folder / "password"
    secret.write_text(password)
    secret.chmod(0o600)
    if ids:
        uid, gid = map(int, ids.split(":"))
        os.chown(folder, uid, gid)
        os.chown(secret, uid, gid)
    command = [str(binaries / "initdb"), "-D", str(folder / "data"), "-U", "postgres", "-E", "UTF8"]
    command += ["--locale=C", "--auth=scram-sha-256", f"--pwfile={secret}", "--no-sync"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, **as_account(ids)
    )
    if done.returncode:
        raise PostgresMissingError(f"initdb failed:\n{(done.stdout + done.stderr)[-2000:]}")


def _spawn(
    binaries: Path, folder: Path, ids: str, owner_pid: int, port: int, settings: Mapping[str, str]
) -> int:
    guard = Path(__file__).with_name("postgres_guard.py")
    command = [sys.executable, str(guard), str(owner_pid), str(folder), ids]
    command += [str(binaries / "postgres"), "-D", str(folder / "data"), "-h", "127.0.0.1"]
    options: dict[str, object] = {
        "port": port,
        "unix_socket_directories": "",
        "max_connections": 200,
    }
    for name, value in {**options, **settings}.items():
        command += ["-c", f"{name}={value}"]
    # A session of its own: Ctrl-C reaches the tests first, and the server ends after them.
    return os.posix_spawn(sys.executable, command, os.environ, setsid=True)


def _answers(server: Server, guard: int) -> bool:
    """Wait until the server takes connections; False when its process ended before."""
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(OSError, asyncpg.PostgresError):
            server.execute("SELECT 1")
            return True
        if os.waitpid(guard, os.WNOHANG)[0]:
            return False
        time.sleep(0.05)
    os.kill(guard, signal.SIGTERM)
    os.waitpid(guard, 0)
    return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
