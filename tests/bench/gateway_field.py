"""The field of the gateway's benchmark: an API server in little, and who may stand before it.

Owns the processes of all contestants (none, our relay, a Go reverse proxy, HAProxy) and the
client that measures them. Called by `bench_gateway` and by tests that put load on a relay. Each
contestant is one process, so that its CPU time and memory can be read.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from radar_audit_collector.capture.gateway.config import RelayConfig

from tests.support.debian_programs import installed
from tests.support.gateway_world import Certificates, JournalEnd
from tests.support.go_programs import build

# Where OpenSSL 3.5 or newer lies for our relay alone, if the system's is older.
LIBRARIES_VARIABLE = "RADAR_AUDIT_BENCH_LIBRARIES"
_HAPROXY = """\
global
  nbthread 1
  maxconn 8192
  tune.bufsize 65536
defaults
  mode http
  timeout connect 10s
  timeout client 1h
  timeout server 1h
  timeout tunnel 1h
frontend radar
  bind 127.0.0.1:{port} ssl crt {leaf} alpn h2,http/1.1
  default_backend api
backend api
  server api 127.0.0.1:{to} ssl verify required ca-file {ca} alpn http/1.1
"""


@dataclass(frozen=True)
class Contestant:
    """Whom the client talks to; `pid` is null where nobody stands between."""

    name: str
    port: int
    pid: int | None
    ca_file: Path

    def cpu_seconds(self) -> float:
        if self.pid is None:
            return 0.0
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)

    def rss_bytes(self) -> int:
        return 0 if self.pid is None else int(psutil.Process(self.pid).memory_info().rss)

    def share_bytes(self) -> int:
        """Return its memory with only a share of the pages that it has in common with others."""
        return 0 if self.pid is None else int(psutil.Process(self.pid).memory_full_info().pss)

    def own_bytes(self) -> int:
        """Return its memory without the pages that it has in common with others."""
        return 0 if self.pid is None else int(psutil.Process(self.pid).memory_full_info().uss)


@dataclass(frozen=True)
class Field:
    """All contestants, `direct` and `ours` always among them; `openssl` has versions by program."""

    program: Path
    contestants: dict[str, Contestant]
    openssl: dict[str, str]

    async def client(self, contestant: Contestant, work: str, **options: object) -> dict[str, Any]:
        """Run one measurement and return what the client says of it."""
        process = await asyncio.create_subprocess_exec(
            *self.command(contestant, work, **options), stdout=subprocess.PIPE
        )
        output, _ = await process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"the client failed at {work} through {contestant.name}")
        answer: dict[str, Any] = json.loads(output)
        return answer

    def command(self, contestant: Contestant, work: str, **options: object) -> list[str]:
        words = [f"-{name}={value}" for name, value in options.items()]
        to, ca = f"-to=127.0.0.1:{contestant.port}", f"-ca={contestant.ca_file}"
        return [str(self.program), "client", to, ca, f"-do={work}", *words]


@contextlib.asynccontextmanager
async def running_field(folder: Path, *, peers: bool = True) -> AsyncIterator[Field]:
    """Start all contestants; without `peers` only `direct` and `ours`."""
    program = build(Path(__file__).with_name("go_peers"))
    ours, theirs = Certificates(folder / "ours"), Certificates(folder / "theirs")
    with contextlib.ExitStack() as stack:
        backend = stack.enter_context(_server(program, "backend", f"-cert={theirs.leaf_file}"))
        field = [Contestant("direct", backend.port, None, theirs.ca_file)]
        if peers:
            words = [f"-cert={ours.leaf_file}", f"-ca={theirs.ca_file}"]
            words.append(f"-to=127.0.0.1:{backend.port}")
            proxy = stack.enter_context(_server(program, "proxy", *words))
            field.append(Contestant("go", proxy.port, proxy.pid, ours.ca_file))
            field.append(stack.enter_context(_haproxy(folder, ours, theirs, backend.port)))
        environment = _relay_environment()
        async with _relay(ours, theirs, backend.port, environment) as relay:
            field.append(relay)
            openssl = {"relay": _openssl(environment)}
            if peers:
                openssl["HAProxy"] = _openssl_of_haproxy()
            yield Field(program, {each.name: each for each in field}, openssl)


@dataclass(frozen=True)
class _Server:
    port: int
    pid: int


@contextlib.contextmanager
def _server(program: Path, *arguments: str) -> Iterator[_Server]:
    with subprocess.Popen([program, *arguments], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield _Server(int(process.stdout.readline()), process.pid)
        finally:
            process.kill()


@contextlib.contextmanager
def _haproxy(
    folder: Path, ours: Certificates, theirs: Certificates, to: int
) -> Iterator[Contestant]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    file = folder / "haproxy.cfg"
    file.write_text(
        _HAPROXY.format(port=port, leaf=ours.leaf_file, to=to, ca=theirs.ca_file), encoding="utf-8"
    )
    with subprocess.Popen([installed("haproxy", "haproxy"), "-db", "-f", file]) as process:
        try:
            yield Contestant("haproxy", port, process.pid, ours.ca_file)
        finally:
            process.kill()


def _relay_environment() -> dict[str, str]:
    libraries = os.environ.get(LIBRARIES_VARIABLE)
    return dict(os.environ) | ({"LD_LIBRARY_PATH": libraries} if libraries else {})


def _openssl(environment: dict[str, str]) -> str:
    told = subprocess.run(
        [sys.executable, "-c", "import ssl; print(ssl.OPENSSL_VERSION)"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return told.stdout.split()[1]


def _openssl_of_haproxy() -> str:
    told = subprocess.run(
        [installed("haproxy", "haproxy"), "-vv"], capture_output=True, text=True, check=True
    )
    line = next(each for each in told.stdout.splitlines() if "Running on OpenSSL" in each)
    return line.partition(": OpenSSL ")[2].split()[0]


@contextlib.asynccontextmanager
async def _relay(
    ours: Certificates, theirs: Certificates, to: int, environment: dict[str, str]
) -> AsyncIterator[Contestant]:
    near, far = socket.socketpair()
    config = RelayConfig(
        listen_host="127.0.0.1",
        listen_port=0,
        upstream_host="127.0.0.1",
        upstream_port=to,
        upstream_server_name="127.0.0.1",
        upstream_ca_file=str(theirs.ca_file),
        leaf_file=str(ours.leaf_file),
        max_connections=8192,
        drain_seconds=0,
    )
    near.sendall(config.encode())
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "radar_audit_collector.capture.gateway",
        str(far.fileno()),
        pass_fds=(far.fileno(),),
        env=environment,
    )
    far.close()
    journal = JournalEnd()
    await asyncio.get_running_loop().create_connection(lambda: journal, sock=near)
    (hello,) = await journal.wait_for("hello")
    try:
        yield Contestant("ours", hello["port"], process.pid, ours.ca_file)
    finally:
        journal.close()
        process.kill()
        await process.wait()
