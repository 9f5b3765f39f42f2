"""Hubs as real processes: what a client reaches over loopback, with CPU and memory counted.

Owns starting `radar-audit-hub serve` on a database and making orgs with tokens in it. Called by
the benchmarks that go over HTTP. Hubs run with the default settings, but without the purge job.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from radar_audit_hub.credentials import SECRET_BYTES, new_token, token_hash
from radar_audit_hub.store.control import (
    Cluster,
    Org,
    User,
    ensure_user,
    insert_cluster,
    insert_member,
    insert_org,
)
from radar_audit_hub.store.database import Database
from radar_audit_hub.store.tokens import insert_cluster_token, insert_pat

from tests.bench.seed import now_ms

_START_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Served:
    """A server in a process of its own, on 127.0.0.1."""

    port: int
    process: psutil.Process

    def cpu_seconds(self) -> float:
        """Return the CPU seconds, user's and system's, that the process has used."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def rss_bytes(self) -> int:
        """Return the process's resident memory."""
        return int(self.process.memory_info().rss)


@contextlib.asynccontextmanager
async def running_hub(dsn: str) -> AsyncIterator[Served]:
    """Run a hub on a PostgreSQL database for as long as the block lasts."""
    environment = os.environ | {
        "RADAR_AUDIT_HUB_DATABASE_URL": dsn,
        "RADAR_AUDIT_HUB_LISTEN": "127.0.0.1:0",
        "RADAR_AUDIT_HUB_PROBES_LISTEN": "127.0.0.1:0",
        "RADAR_AUDIT_HUB_PURGE_ENABLED": "false",
    }
    program = Path(sys.executable).with_name("radar-audit-hub")
    async with _process([str(program), "serve"], environment) as served:
        yield served


@contextlib.asynccontextmanager
async def running_plain_server(dsn: str) -> AsyncIterator[Served]:
    """Run the yardstick of requests (`plain_server.py`) for as long as the block lasts."""
    program = str(Path(__file__).with_name("plain_server.py"))
    async with _process([sys.executable, program], os.environ | {"BENCH_DSN": dsn}) as served:
        yield served


@contextlib.asynccontextmanager
async def _process(command: Sequence[str], environment: dict[str, str]) -> AsyncIterator[Served]:
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(*command, env=environment, stderr=log)
        try:
            port = await _port(process, log.fileno())
            yield Served(port, psutil.Process(process.pid))
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                await process.wait()


async def _port(process: asyncio.subprocess.Process, log: int) -> int:
    """Wait for the log line that tells the port of the API."""
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        text = os.pread(log, 65_536, 0).decode(errors="replace")
        for line in text.splitlines():
            if '"port"' in line and line.endswith("}"):
                return int(json.loads(line)["port"])
        if process.returncode is not None:
            break
        await asyncio.sleep(0.05)
    raise RuntimeError(f"{process.pid} does not serve; its log ends:\n{text[-1500:]}")


async def add_cluster(database: Database, org_id: str, cluster_id: str, name: str) -> str:
    """Make an org, unless it is there, with a cluster; return the cluster's token."""
    token = new_token("rhc", secrets.token_bytes(SECRET_BYTES))
    org = Org(
        id=org_id,
        name=org_id,
        plan="enterprise",
        record_log_access=False,
        created_at_ms=now_ms(),
    )
    cluster = Cluster(
        org_id=org_id,
        id=cluster_id,
        name=name,
        environment="production",
        labels={},
        created_at_ms=now_ms(),
    )
    async with database.write() as connection:
        await insert_org(connection, org)
        await insert_cluster(connection, cluster)
        await insert_cluster_token(
            connection,
            org_id=org_id,
            cluster_id=cluster_id,
            token_hash=token_hash(token),
            scopes=["ingest"],
            created_at_ms=now_ms(),
        )
    return token


async def add_reader(dsn: str, org_id: str) -> str:
    """Make an owner of an org that is there; return a token that may read its log."""
    token = new_token("rhp", secrets.token_bytes(SECRET_BYTES))
    user = User(id="user_bench", email="owner@example.com", created_at_ms=now_ms())
    database = await Database.open(dsn)
    try:
        async with database.write() as connection:
            owner = await ensure_user(connection, user)
            await insert_member(connection, org_id, owner.id, "owner", now_ms())
            await insert_pat(
                connection,
                org_id=org_id,
                pat_id=f"pat_{secrets.token_hex(8)}",
                user_id=owner.id,
                name="bench",
                token_hash=token_hash(token),
                scopes=None,
                created_at_ms=now_ms(),
                expires_at_ms=None,
            )
    finally:
        await database.close()
    return token
