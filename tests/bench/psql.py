"""PostgreSQL's own client, the yardstick of exports.

Owns finding the programs of the newest installed PostgreSQL and timing a `\\copy` by it. Called
by the export benchmark and the machine's description.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit


def server_program(name: str) -> str | None:
    """Return the path of a program of the newest PostgreSQL here; None if there is none."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    near = next((str(f / name) for f in folders if (f / name).exists()), None)
    return near or shutil.which(name)


async def copy_out(dsn: str, query: str) -> None:
    """Run `\\copy (query) TO /dev/null` as CSV. Raises RuntimeError if that fails."""
    program = server_program("psql")
    if program is None:
        raise RuntimeError("psql was not found; install PostgreSQL's client programs")
    parts = urlsplit(dsn)
    environment = os.environ | {"PGPASSWORD": parts.password or ""}
    process = await asyncio.create_subprocess_exec(
        program,
        "-X",
        "-q",
        "-h",
        parts.hostname or "",
        "-p",
        str(parts.port or 5432),
        "-U",
        parts.username or "",
        "-d",
        parts.path.lstrip("/"),
        "-c",
        f"\\copy ({query}) TO '/dev/null' WITH (FORMAT csv, HEADER)",
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"psql failed: {said.decode(errors='replace')[-500:]}")


def _version(folder: Path) -> float:
    try:
        return float(folder.parent.name)
    except ValueError:
        return 0.0
