"""What the figures were measured on: cores, memory and versions, no names and no paths.

Owns the description that stands above every report. Called by `tests.bench`.
"""

from __future__ import annotations

import os
import platform
import sqlite3
import ssl
import subprocess
from pathlib import Path

import aiohttp
import asyncpg
import msgspec
import psutil
import sqlalchemy

from tests.bench.psql import server_program


def describe() -> list[tuple[str, str]]:
    """Return (what, which) pairs of this machine."""
    libraries = {
        "aiohttp": aiohttp.__version__,
        "asyncpg": asyncpg.__version__,
        "msgspec": msgspec.__version__,
        "SQLAlchemy": sqlalchemy.__version__,
    }
    return [
        ("processor", f"{_processor()}, {os.cpu_count()} cores"),
        ("memory", f"{psutil.virtual_memory().total / 2**30:.0f} GiB"),
        ("system", f"{platform.system()} {platform.release().split('-')[0]}"),
        ("Python", platform.python_version()),
        ("PostgreSQL", _postgres_version()),
        ("SQLite", sqlite3.sqlite_version),
        ("OpenSSL", ssl.OPENSSL_VERSION.split()[1]),
        ("libraries", ", ".join(f"{name} {version}" for name, version in libraries.items())),
        ("load when it began", f"{os.getloadavg()[0]:.1f} of {os.cpu_count()} cores"),
    ]


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _postgres_version() -> str:
    program = server_program("postgres")
    if program is None:
        return "of the server that was given"
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    return said.stdout.split()[2]
