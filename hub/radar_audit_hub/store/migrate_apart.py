"""Brings the schema up to date in a process of its own, which takes its memory along.

Owns the parent's side of it; the child's is `__main__.py`. Called by a server that starts on a
database of another revision. Alembic and what it loads would stay in the server for good, 12 MiB
for what it does once. Never puts the database's URL where other processes can read it.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE

_CHILD = "radar_audit_hub.store"


class MigrationFailedError(Exception):
    """The schema is not up to date, and why: one sentence, without the database's URL."""


async def migrate_apart(url: str) -> None:
    """Bring the schema of the database at `url` to the newest revision, as `migrate` does.

    Raises MigrationFailedError. The child ends with its caller; its transaction is undone then.
    """
    # A session of its own: Ctrl-C is for the server, which ends the child.
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", _CHILD, stdin=PIPE, stdout=PIPE, start_new_session=True
    )
    try:
        told, _ = await child.communicate(url.encode())
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        why = told.decode(errors="replace") or f"its process ended with {child.returncode}"
        raise MigrationFailedError(f"the schema cannot be brought up to date: {why}")
