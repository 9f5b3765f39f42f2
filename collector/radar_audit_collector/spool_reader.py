"""A look into the spool from outside, beside a running collector or after its end.

Owns the read-only view of `radar-audit-collector spool`. Called by `main`. Never
writes, takes no lock that a collector would notice, and leaves a spool that is
not there alone.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .errors import SpoolError
from .spool_database import DATABASE_NAME, SCHEMA_VERSION
from .spool_records import DeadLetter, StoredGap
from .spool_rows import dead_letters, gaps

_BUSY_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class SpoolView:
    """What the spool holds: `events` includes `held` ones; times are Unix ms, null when empty."""

    events: int
    held: int
    oldest_at_ms: int | None
    newest_at_ms: int | None
    dead_letters: int
    file_bytes: int
    gaps: tuple[StoredGap, ...]


def read_view(directory: Path) -> SpoolView:
    """Return the depth of the spool in `directory`. Raises SpoolError."""
    with _reading(directory) as conn:
        events, held, dead = conn.execute("SELECT events, held, dead FROM tally").fetchone()
        first, last = conn.execute(
            "SELECT min(at_ms), max(at_ms) FROM"
            " (SELECT at_ms FROM event UNION ALL SELECT at_ms FROM held)"
        ).fetchone()
        return SpoolView(
            events=events + held,
            held=held,
            oldest_at_ms=first,
            newest_at_ms=last,
            dead_letters=dead,
            file_bytes=sum(f.stat().st_size for f in directory.iterdir() if f.is_file()),
            gaps=tuple(gaps(conn)),
        )


def read_dead_letters(directory: Path, limit: int) -> list[DeadLetter]:
    """Return the newest refused events, oldest of them first. Raises SpoolError."""
    with _reading(directory) as conn:
        return dead_letters(conn, limit)


@contextlib.contextmanager
def _reading(directory: Path) -> Iterator[sqlite3.Connection]:
    path = directory / DATABASE_NAME
    if not path.is_file():
        raise SpoolError(f"there is no spool in {directory}; name the collector's data folder")
    try:
        conn = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_SECONDS
        )
        with contextlib.closing(conn):
            version = int(conn.execute("PRAGMA user_version").fetchone()[0])
            if version != SCHEMA_VERSION:
                raise SpoolError(
                    f"the spool has format {version} and this program reads {SCHEMA_VERSION}"
                )
            conn.execute("BEGIN")  # one view for all statements
            yield conn
    except sqlite3.Error as exc:
        reason = getattr(exc, "sqlite_errorname", type(exc).__name__)
        raise SpoolError(f"the spool in {directory} cannot be read: {reason}") from exc
