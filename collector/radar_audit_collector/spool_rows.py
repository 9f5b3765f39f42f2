"""The statements of the spool: each function runs inside one transaction.

Owns the SQL on events, state, gaps and dead letters, and the eviction that keeps
the bound. Called by `spool`, in the spool's thread. Never commits (the caller
does) and never looks inside a payload.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Mapping, Sequence

from .errors import SpoolUnavailableError
from .spool_database import SpoolDatabase
from .spool_records import (
    DeadLetter,
    NewEvent,
    NewGap,
    Refusal,
    Settlement,
    StoredEvent,
    StoredGap,
)

MAX_DEAD_LETTERS = 1000
MAX_GAPS_PER_REQUEST = 100
_MAX_MESSAGE_CHARS = 500
_EVICTION_ROWS = 256
_ROW_OVERHEAD_BYTES = 32
REASON_FULL = "spool_full"
_PEEK = "SELECT seq, at_ms, claimed_org, payload FROM event ORDER BY seq LIMIT ?"
_PEEK_UNCLAIMED = (
    "SELECT seq, at_ms, claimed_org, payload FROM event"
    " WHERE claimed_org IS NULL ORDER BY seq LIMIT ?"
)


def append(
    database: SpoolDatabase,
    events: Sequence[NewEvent],
    changes: Mapping[str, bytes | None],
    gaps: Sequence[NewGap],
) -> int:
    """Store events, state changes and losses; return how many old events had to go for them.

    Raises SpoolUnavailableError, sqlite3.Error.
    """
    database.demand_room()
    conn = database.conn
    conn.executemany(
        "INSERT INTO event(at_ms, claimed_org, payload) VALUES (?, ?, ?)",
        [(e.at_ms, e.claimed_org, e.payload) for e in events],
    )
    conn.execute("UPDATE tally SET events = events + ?", (len(events),))
    put_state(conn, changes)
    for gap in gaps:
        add_gap(conn, gap)
    return _evict(database)


def put_state(conn: sqlite3.Connection, changes: Mapping[str, bytes | None]) -> None:
    """Set state keys; null removes one."""
    conn.executemany(
        "INSERT INTO state(key, value) VALUES (?, ?)"
        " ON CONFLICT(key) DO UPDATE SET value = excluded.value",
        [(key, value) for key, value in changes.items() if value is not None],
    )
    conn.executemany(
        "DELETE FROM state WHERE key = ?", [(k,) for k, value in changes.items() if value is None]
    )


def load_state(conn: sqlite3.Connection, prefix: str) -> dict[str, bytes]:
    """Return the state keys that begin with `prefix`, with their values."""
    rows = conn.execute(
        "SELECT key, value FROM state WHERE key >= ? AND substr(key, 1, ?) = ? ORDER BY key",
        (prefix, len(prefix), prefix),
    )
    return {key: bytes(value) for key, value in rows}


def peek(
    conn: sqlite3.Connection, limit: int, max_bytes: int, *, unclaimed_only: bool
) -> list[StoredEvent]:
    """Return the oldest events in order: at least one if there is any, else within the bounds."""
    statement = _PEEK_UNCLAIMED if unclaimed_only else _PEEK
    return _bounded(conn.execute(statement, (limit,)), max_bytes)


def peek_held(conn: sqlite3.Connection, limit: int, max_bytes: int) -> list[StoredEvent]:
    """Return the oldest of the events that wait for their time, within the bounds."""
    return _bounded(
        conn.execute(
            "SELECT seq, at_ms, claimed_org, payload FROM held ORDER BY seq LIMIT ?", (limit,)
        ),
        max_bytes,
    )


def _bounded(cursor: sqlite3.Cursor, max_bytes: int) -> list[StoredEvent]:
    found: list[StoredEvent] = []
    total_bytes = 0
    for seq, at_ms, claimed_org, payload in cursor:
        total_bytes += len(payload)
        if found and total_bytes > max_bytes:
            break
        found.append(StoredEvent(seq, at_ms, claimed_org, payload))
    cursor.close()
    return found


def settle(database: SpoolDatabase, settlement: Settlement, now_ms: int) -> int:
    """Remove or move what the hub has answered; return how many old dead letters went for it.

    Numbers that are no longer there (evicted meanwhile) are passed over.
    """
    conn = database.conn
    for seq in settlement.held:
        moved = conn.execute(
            "INSERT OR IGNORE INTO held SELECT seq, at_ms, claimed_org, payload"
            " FROM event WHERE seq = ?",
            (seq,),
        ).rowcount
        conn.execute("DELETE FROM event WHERE seq = ?", (seq,))
        conn.execute("UPDATE tally SET events = events - ?, held = held + ?", (moved, moved))
    for refusal in settlement.dead:
        _bury(conn, refusal, now_ms)
    _remove(conn, [*settlement.done, *(refusal.seq for refusal in settlement.dead)])
    conn.executemany("DELETE FROM gap WHERE gap_id = ?", [(g,) for g in settlement.gaps])
    return _thin_dead_letters(conn, MAX_DEAD_LETTERS)


def _remove(conn: sqlite3.Connection, seqs: Sequence[int]) -> None:
    rows = [(seq,) for seq in seqs]
    events = conn.executemany("DELETE FROM event WHERE seq = ?", rows).rowcount
    held = conn.executemany("DELETE FROM held WHERE seq = ?", rows).rowcount
    conn.execute(
        "UPDATE tally SET events = events - ?, held = held - ?", (max(events, 0), max(held, 0))
    )


def _bury(conn: sqlite3.Connection, refusal: Refusal, now_ms: int) -> None:
    added = conn.execute(
        "INSERT OR IGNORE INTO dead(seq, at_ms, refused_ms, code, message, payload)"
        " SELECT seq, at_ms, ?, ?, ?, payload FROM event WHERE seq = ?"
        " UNION ALL SELECT seq, at_ms, ?, ?, ?, payload FROM held WHERE seq = ?",
        (now_ms, refusal.code, refusal.message[:_MAX_MESSAGE_CHARS], refusal.seq) * 2,
    ).rowcount
    conn.execute("UPDATE tally SET dead = dead + ?", (added,))


def _thin_dead_letters(conn: sqlite3.Connection, keep: int) -> int:
    count = int(conn.execute("SELECT dead FROM tally").fetchone()[0])
    if count <= keep:
        return 0
    conn.execute(
        "DELETE FROM dead WHERE seq IN (SELECT seq FROM dead ORDER BY seq LIMIT ?)", (count - keep,)
    )
    conn.execute("UPDATE tally SET dead = ?", (keep,))
    return count - keep


def dead_letters(conn: sqlite3.Connection, limit: int) -> list[DeadLetter]:
    """Return the newest refused events, oldest of them first."""
    rows = conn.execute(
        "SELECT seq, at_ms, refused_ms, code, message, payload FROM dead ORDER BY seq DESC LIMIT ?",
        (limit,),
    ).fetchall()
    return [DeadLetter(*row) for row in reversed(rows)]


def add_gap(conn: sqlite3.Connection, gap: NewGap) -> None:
    """Record a loss; it joins the open gap of the same reason if there is one.

    A clock that was set back may have swapped the two times.
    """
    from_ms, to_ms = min(gap.from_ms, gap.to_ms), max(gap.from_ms, gap.to_ms)
    conn.execute(
        "INSERT INTO gap(gap_id, from_ms, to_ms, count, reason, sealed)"
        " SELECT coalesce((SELECT gap_id FROM gap WHERE reason = ? AND NOT sealed), ?),"
        " ?, ?, ?, ?, 0 WHERE true"
        " ON CONFLICT(gap_id) DO UPDATE SET from_ms = min(from_ms, excluded.from_ms),"
        " to_ms = max(to_ms, excluded.to_ms), count = count + excluded.count",
        (gap.reason, "gap_" + secrets.token_hex(16), from_ms, to_ms, gap.count, gap.reason),
    )


def gaps(conn: sqlite3.Connection) -> list[StoredGap]:
    """Return the gaps that the hub has not been told yet, oldest first."""
    rows = conn.execute("SELECT gap_id, from_ms, to_ms, count, reason FROM gap ORDER BY from_ms")
    return [StoredGap(*row) for row in rows]


def seal_gaps(conn: sqlite3.Connection) -> list[StoredGap]:
    """Return gaps to be sent. They no longer grow: what the hub stores under an id stays so.

    As long as sealed ones wait for their answer no others are sealed, so that a
    hub that is down for long does not make one gap per attempt.
    """
    if conn.execute("SELECT 1 FROM gap WHERE sealed LIMIT 1").fetchone() is None:
        conn.execute("UPDATE gap SET sealed = 1")
    rows = conn.execute(
        "SELECT gap_id, from_ms, to_ms, count, reason FROM gap WHERE sealed"
        " ORDER BY from_ms LIMIT ?",
        (MAX_GAPS_PER_REQUEST,),
    ).fetchall()
    return [StoredGap(*row) for row in rows]


def _evict(database: SpoolDatabase) -> int:
    """Remove the oldest events until the bound holds, and record the gap that this makes."""
    excess_bytes = database.excess_bytes()
    if excess_bytes <= 0:
        return 0
    conn = database.conn
    lost, from_ms, to_ms = 0, 0, 0
    while excess_bytes > 0:
        victims = _oldest(conn, excess_bytes)
        if not victims:
            if not _thin_dead_letters(conn, 0):
                raise SpoolUnavailableError("the spool is full of state that cannot be removed")
        else:
            _remove(conn, [seq for seq, _ in victims])
            times = [at_ms for _, at_ms in victims]
            from_ms = min(times) if not lost else min(from_ms, *times)
            to_ms = max(to_ms, *times)
            lost += len(victims)
        excess_bytes = database.excess_bytes()
    if lost:
        add_gap(conn, NewGap(REASON_FULL, from_ms, to_ms, lost))
    return lost


def _oldest(conn: sqlite3.Connection, needed_bytes: int) -> list[tuple[int, int]]:
    """Return number and time of the oldest events that together hold `needed_bytes`."""
    cursor = conn.execute(
        "SELECT seq, at_ms, length(payload) FROM ("
        " SELECT seq, at_ms, payload FROM event UNION ALL SELECT seq, at_ms, payload FROM held)"
        " ORDER BY seq LIMIT ?",
        (_EVICTION_ROWS,),
    )
    victims: list[tuple[int, int]] = []
    for seq, at_ms, size_bytes in cursor:
        victims.append((seq, at_ms))
        needed_bytes -= size_bytes + _ROW_OVERHEAD_BYTES
        if needed_bytes <= 0:
            break
    cursor.close()
    return victims
