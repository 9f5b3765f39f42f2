"""The spool's database: opening it, one transaction at a time, its bound in bytes.

Owns the SQLite connection, the schema, and what happens when the disk is full or
the file is corrupt. Called by `spool`, from its own thread only; the statements
on events are in `spool_rows`. Never touches the event loop.
"""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from .errors import SpoolError, SpoolUnavailableError
from .spool_disk import (
    Ballast,
    DirectoryLock,
    aside_bytes,
    create_private,
    last_written_ms,
    set_aside,
)
from .spool_records import SpoolStats

DATABASE_NAME = "spool.sqlite3"
SCHEMA_VERSION = 1
MIN_SPOOL_BYTES = 4 * 1024 * 1024
_MAX_SHARE_BYTES = 8 * 1024 * 1024
_BUSY_SECONDS = 0.2  # a reader (`spool show`) holds a lock for the blink of a statement
_SHRINK_PAGES = 256  # given back to the disk in one go, so that nobody waits long

_SCHEMA = (
    """CREATE TABLE event(seq INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL,
       claimed_org TEXT, payload BLOB NOT NULL)""",
    "CREATE INDEX event_unclaimed ON event(seq) WHERE claimed_org IS NULL",
    """CREATE TABLE held(seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL,
       claimed_org TEXT, payload BLOB NOT NULL)""",
    """CREATE TABLE dead(seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL,
       refused_ms INTEGER NOT NULL, code TEXT NOT NULL, message TEXT NOT NULL,
       payload BLOB NOT NULL)""",
    "CREATE TABLE state(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    """CREATE TABLE gap(gap_id TEXT PRIMARY KEY, from_ms INTEGER NOT NULL,
       to_ms INTEGER NOT NULL, count INTEGER NOT NULL, reason TEXT NOT NULL,
       sealed INTEGER NOT NULL) WITHOUT ROWID""",
    # One row: counting the rows of `event` would read all their payloads.
    """CREATE TABLE tally(events INTEGER NOT NULL, held INTEGER NOT NULL,
       dead INTEGER NOT NULL)""",
)
_NO_ROOM = frozenset({"SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC"})
_CORRUPT = ("SQLITE_CORRUPT", "SQLITE_NOTADB")  # the first also with what is corrupt behind it
# SQLite's error texts quote the file, so a damaged one may make them undecodable.
_FAULTS = (sqlite3.Error, UnicodeDecodeError)
# What quick_check does not look at: values of another type than was written.
_MISTYPED = (
    "SELECT 1 FROM event WHERE typeof(at_ms) != 'integer' OR typeof(payload) != 'blob' LIMIT 1",
    "SELECT 1 FROM held WHERE typeof(at_ms) != 'integer' OR typeof(payload) != 'blob' LIMIT 1",
    "SELECT 1 FROM dead WHERE typeof(at_ms) != 'integer' OR typeof(payload) != 'blob' LIMIT 1",
    "SELECT 1 FROM state WHERE typeof(key) != 'text' OR typeof(value) != 'blob' LIMIT 1",
    """SELECT 1 FROM gap WHERE typeof(from_ms) != 'integer' OR typeof(to_ms) != 'integer'
       OR typeof(count) != 'integer' OR typeof(reason) != 'text' LIMIT 1""",
)
_TRIAL_BYTES = 128 * 1024  # more than the pages of one append, each written twice
_COUNTED = """SELECT (SELECT count(*) FROM event), (SELECT count(*) FROM held),
    (SELECT count(*) FROM dead)"""


class CorruptError(sqlite3.DatabaseError):
    """The integrity check of an opened file found damage."""


class SpoolDatabase:
    """One spool on disk. Not thread-safe: it belongs to the spool's thread."""

    def __init__(self, directory: Path, max_bytes: int) -> None:
        """Remember the place and the bound in bytes; nothing is opened yet."""
        self.path = directory / DATABASE_NAME
        self._max_bytes = max_bytes
        # The ballast and the write-ahead log get one share each; both count as used.
        self._share_bytes = min(_MAX_SHARE_BYTES, max_bytes // 8)
        self._ballast = Ballast(directory / "spool.ballast", self._share_bytes)
        self._trial = Ballast(directory / "spool.trial", _TRIAL_BYTES)
        self._lock = DirectoryLock(directory)
        self._conn: sqlite3.Connection | None = None
        self._page_bytes = 4096
        self._aside_bytes = 0
        self._is_suspect = False  # a statement found damage that the quick check may miss

    @property
    def conn(self) -> sqlite3.Connection:
        """The open connection. Raises SpoolUnavailableError if there is none."""
        if self._conn is None:
            raise SpoolUnavailableError("the spool is not open")
        return self._conn

    @property
    def is_open(self) -> bool:
        """Tell whether statements can be run."""
        return self._conn is not None

    @property
    def group_bytes(self) -> int:
        """How many payload bytes one transaction should hold at most."""
        return self._share_bytes // 8

    def open(self) -> int | None:
        """Open or make the database. Idempotent.

        Returns null, or, when a corrupt file had to be set aside, the time at which
        that file was last written (Unix ms).
        Raises SpoolLockedError, SpoolError, SpoolUnavailableError.
        """
        if self._conn is not None:
            return None
        try:
            self._lock.acquire()
            create_private(self.path)
            try:
                if not self._is_suspect:
                    self._connect()
                    return None
            except _FAULTS as exc:
                self.disconnect()
                if not is_corruption(exc):
                    raise
            return self._start_anew()
        except (OSError, *_FAULTS) as exc:
            self.disconnect()
            self._ballast.give_back()  # the cause may be a full disk; opening takes it again
            raise SpoolUnavailableError(f"the spool cannot be opened: {_cause(exc)}") from exc

    def _start_anew(self) -> int:
        written_ms = last_written_ms(self.path)
        set_aside(self.path)
        create_private(self.path)
        self._is_suspect = False
        self._connect()
        return written_ms

    def _connect(self) -> None:
        conn = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
        # A text that is damaged must not keep all others from being read.
        conn.text_factory = lambda raw: raw.decode("utf-8", "replace")
        self._conn = conn
        version = int(conn.execute("PRAGMA user_version").fetchone()[0])
        if version > SCHEMA_VERSION:
            self.disconnect()
            raise SpoolError(
                f"the spool has format {version} and this collector knows {SCHEMA_VERSION}; "
                "run the newer collector or give this one another directory"
            )
        if version == 0:
            conn.execute("PRAGMA auto_vacuum=INCREMENTAL")  # only an empty file can take it
        conn.execute("PRAGMA journal_mode=WAL")
        conn.execute("PRAGMA synchronous=FULL")
        self._page_bytes = int(conn.execute("PRAGMA page_size").fetchone()[0])
        pages = max(1, self._share_bytes // 4 // self._page_bytes)
        conn.execute(f"PRAGMA wal_autocheckpoint={pages}")
        if conn.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise CorruptError("the spool's file is damaged")
        if version == 0:
            _create_schema(conn)
        _check_content(conn)
        self._ballast.take()
        self._aside_bytes = min(aside_bytes(self.path), self._max_bytes // 2)

    def disconnect(self) -> None:
        """Close the connection but stay the owner of the directory."""
        if self._conn is not None:
            with contextlib.suppress(*_FAULTS):
                self._conn.close()
            self._conn = None

    def close(self) -> None:
        """Close everything and let another process own the directory."""
        self.disconnect()
        self._lock.release()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run one durable transaction: when the block ends without an error it is on disk.

        Raises SpoolUnavailableError when SQLite cannot write; nothing is kept then.
        """
        conn = self.conn
        try:
            conn.execute("BEGIN IMMEDIATE")
            yield conn
            conn.execute("COMMIT")
        except _FAULTS as exc:
            self._roll_back()
            self._react(exc)
            raise SpoolUnavailableError(f"the spool cannot be written: {_cause(exc)}") from exc
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        if self._conn is not None and self._conn.in_transaction:
            try:
                self._conn.execute("ROLLBACK")
            except _FAULTS:
                self.disconnect()

    def _react(self, exc: Exception) -> None:
        """Prepare the next attempt: free the ballast, or close what must be opened anew."""
        name = getattr(exc, "sqlite_errorname", "")
        if name in _NO_ROOM:
            self._ballast.give_back()
            self._checkpoint()
        elif name != "SQLITE_BUSY":
            self._is_suspect = is_corruption(exc)
            self.disconnect()

    def _checkpoint(self) -> None:
        if self._conn is not None:
            with contextlib.suppress(*_FAULTS):
                self._conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def demand_room(self) -> None:
        """Refuse what adds bytes while the disk is full. Raises SpoolUnavailableError."""
        if not self._ballast.is_held and not self._ballast.take():
            raise SpoolUnavailableError("the disk of the spool is full")

    def demand_blocks(self) -> None:
        """Refuse unless the disk has blocks for an append now. Raises SpoolUnavailableError.

        A small write proves nothing: it may go where the write-ahead log has been before.
        """
        is_there = self._trial.take()
        self._trial.give_back()
        if not is_there:
            raise SpoolUnavailableError("the disk of the spool is full")

    def shrink_if_wanted(self) -> None:
        """Give free pages back to the disk: after a full disk, and once the spool is empty."""
        if self._conn is None:
            return
        with contextlib.suppress(*_FAULTS):
            free = int(self._conn.execute("PRAGMA freelist_count").fetchone()[0])
            emptied = (
                free > _SHRINK_PAGES
                and not self._conn.execute("SELECT events + held FROM tally").fetchone()[0]
            )
            if emptied or not self._ballast.is_held:
                # A script, because `execute` stops after the first page that it frees.
                self._conn.executescript(f"PRAGMA incremental_vacuum({_SHRINK_PAGES})")
        if not self._ballast.is_held:
            self._checkpoint()

    def used_bytes(self) -> int:
        """Return what the live pages of the database use, inside a transaction or not."""
        pages = int(self.conn.execute("PRAGMA page_count").fetchone()[0])
        free = int(self.conn.execute("PRAGMA freelist_count").fetchone()[0])
        return (pages - free) * self._page_bytes

    def excess_bytes(self) -> int:
        """Return by how much the spool is over its bound, 0 or less if it is not."""
        limit = self._max_bytes - 2 * self._share_bytes - self._aside_bytes
        return self.used_bytes() - limit

    def stats(self) -> SpoolStats:
        """Read the depth of the spool."""
        conn = self.conn
        events, held, dead = conn.execute("SELECT events, held, dead FROM tally").fetchone()
        oldest = conn.execute(
            "SELECT at_ms FROM (SELECT seq, at_ms FROM event UNION ALL SELECT seq, at_ms FROM held)"
            " ORDER BY seq LIMIT 1"
        ).fetchone()
        return SpoolStats(
            events=events + held,
            held=held,
            bytes=self.used_bytes(),
            oldest_at_ms=None if oldest is None else oldest[0],
            dead_letters=dead,
            gaps=conn.execute("SELECT count(*) FROM gap").fetchone()[0],
        )


def _create_schema(conn: sqlite3.Connection) -> None:
    # Event numbers start at random: a number still in flight from a file that was set
    # aside meanwhile cannot name an event of this one.
    start = secrets.randbits(40) << 20
    conn.execute("BEGIN IMMEDIATE")
    for statement in _SCHEMA:
        conn.execute(statement)
    conn.execute("INSERT INTO tally VALUES (0, 0, 0)")
    conn.execute("INSERT INTO sqlite_sequence(name, seq) VALUES ('event', ?)", (start,))
    conn.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    conn.execute("COMMIT")


def _check_content(conn: sqlite3.Connection) -> None:
    """Compare tables and types with what was written; count anew. Raises CorruptError."""
    made = {row[0] for row in conn.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}
    if not made.issuperset(_SCHEMA):
        raise CorruptError("the spool's file has lost a table")
    if any(conn.execute(statement).fetchone() for statement in _MISTYPED):
        raise CorruptError("the spool's file holds values of a wrong type")
    counted = conn.execute(_COUNTED).fetchone()
    if conn.execute("SELECT events, held, dead FROM tally").fetchall() != [counted]:
        conn.execute("BEGIN IMMEDIATE")
        conn.execute("DELETE FROM tally")
        conn.execute("INSERT INTO tally VALUES (?, ?, ?)", counted)
        conn.execute("COMMIT")


def is_corruption(exc: BaseException) -> bool:
    """Tell whether an error means that the file itself is damaged."""
    name = getattr(exc, "sqlite_errorname", "")
    return isinstance(exc, CorruptError | UnicodeDecodeError) or name.startswith(_CORRUPT)


def _cause(exc: BaseException) -> str:
    """Name an error without its text: SQLite's texts may quote a value."""
    if isinstance(exc, OSError):
        return exc.strerror or type(exc).__name__
    return getattr(exc, "sqlite_errorname", None) or type(exc).__name__
