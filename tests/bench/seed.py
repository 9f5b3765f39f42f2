"""A log of a million events in seconds: rows made by the database itself.

Owns the seeded PostgreSQL log that reading, exporting and purging are measured on: one big org
with a year of events, one a tenth as long and fifty small ones beside it, in the table that the
migrations make. Called by the harness. The hashes are of the right size but of nothing: no
benchmark of reading looks at them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
from radar_audit_events.actions import ACTIONS
from radar_audit_events.chain import Frontier
from radar_audit_events.ids import EVENT_PREFIX
from radar_audit_hub.store.migrate import upgrade

from tests.bench.events import CLUSTER, ORG, USERS, sample_metadata
from tests.support.postgres import Server

DAY_MS = 86_400_000
DAYS = 360  # within the 365 days of the enterprise plan, with room for a slow run
RARE_ACTION, RARE_ROWS = "org.sso.portal_opened", 12
RARE_ACTOR, RARE_ACTOR_ROWS = "rare@example.com", 20
USUAL_ACTOR = "person-0300@example.com"
SMALL_ORGS = 50
TENTH_ORG = "org_tenth"  # has a tenth of the big org's events
_SHARES = {"pod.exec_started": 390, "pod.exec_ended": 390, "auth.signin": 70, "pat.created": 30}
_SLOTS = 1000
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True, slots=True)
class Log:
    """Where the seeded log is; `org_id` has `rows` events from `start_ms` to `end_ms` (Unix ms)."""

    dsn: str
    org_id: str
    rows: int
    start_ms: int
    end_ms: int


def now_ms() -> int:
    """Return the clock's Unix milliseconds: hubs that run for real judge events by it."""
    return int(time.time() * 1000)


@contextlib.asynccontextmanager
async def seeded_log(server: Server, rows: int) -> AsyncIterator[Log]:
    """Make a database with a log of `rows` events in the big org, and drop it at the end."""
    end_ms = now_ms() - 60_000
    with server.fresh_database() as dsn:
        log = Log(dsn, ORG, rows, end_ms - DAYS * DAY_MS, end_ms)
        await upgrade(dsn)
        await _fill(log)
        yield log


async def _fill(log: Log) -> None:
    connection = await asyncpg.connect(log.dsn)
    try:
        # What is seeded need not survive a crash, and indexes are built faster at the end.
        await connection.execute("SET synchronous_commit = off")
        await connection.execute("SET maintenance_work_mem = '512MB'")
        rebuild = await _drop_indexes(connection)
        await _insert(connection, log, log.org_id, log.rows)
        await _insert(connection, log, TENTH_ORG, max(1, log.rows // 10))
        for number in range(SMALL_ORGS):
            await _insert(connection, log, f"org_small_{number}", max(1, log.rows // 1000))
        for statement in rebuild:
            await connection.execute(statement)
        await _count(connection)
        await connection.execute("VACUUM (ANALYZE) audit_event")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


async def _drop_indexes(connection: asyncpg.Connection) -> list[str]:
    """Drop the table's keys and indexes; return the statements that make them again."""
    constraints = await connection.fetch(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE conrelid = 'audit_event'::regclass AND contype IN ('p', 'u')"
    )
    for name, _ in constraints:
        await connection.execute(f"ALTER TABLE audit_event DROP CONSTRAINT {name}")
    indexes = await connection.fetch(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'audit_event'"
    )
    for name, _ in indexes:
        await connection.execute(f"DROP INDEX {name}")
    keys = [f"ALTER TABLE audit_event ADD CONSTRAINT {name} {text}" for name, text in constraints]
    return [*keys, *(text for _, text in indexes)]


def _slots() -> list[str]:
    """Return the action of each of _SLOTS equally likely slots, the rare one in none."""
    slots = [name for name, share in _SHARES.items() for _ in range(share)]
    others = [name for name in ACTIONS if name not in _SHARES and name != RARE_ACTION]
    # Each of the others half as often as the one before, but never less than once.
    share = _SLOTS - len(slots) - len(others)
    for name in others:
        share //= 2
        slots.extend([name] * (share + 1))
    return slots + ["pod.exec_started"] * (_SLOTS - len(slots))


async def _insert(connection: asyncpg.Connection, log: Log, org_id: str, rows: int) -> None:
    names = list(ACTIONS)
    numbers = [names.index(name) + 1 for name in _slots()]
    await connection.execute(
        _INSERT,
        org_id,
        rows,
        log.start_ms,
        log.end_ms,
        numbers,
        names,
        [ACTIONS[name].target_type for name in names],
        [_marked(sample_metadata(name)) for name in names],
        names.index(RARE_ACTION) + 1,
        timeout=600,
    )
    frontier = Frontier()
    frontier.extend([bytes(32)] * rows)
    await connection.execute(
        "INSERT INTO org VALUES ($1, $1, 'enterprise', false, $2, NULL)", org_id, log.start_ms
    )
    await connection.execute(
        "INSERT INTO audit_log_head VALUES ($1, $2, 0, $3, NULL)",
        org_id,
        rows,
        frontier.to_bytes(),
    )


def _marked(metadata: str) -> str:
    """Put a mark where each row's own digest goes."""
    return metadata.replace("session_id-of-a-usual-length", "@").replace(
        "pod-of-a-usual-length", "web-frontend-@"
    )


async def _count(connection: asyncpg.Connection) -> None:
    await connection.execute(
        "INSERT INTO audit_day_count SELECT org_id, created_at / $1, action, count(*) "
        "FROM audit_event GROUP BY 1, 2, 3",
        DAY_MS,
        timeout=600,
    )


_TIME_CHARS = " || ".join(
    f"substr('{_ALPHABET}', ((ms >> {shift}) & 31)::int + 1, 1)" for shift in range(45, -1, -5)
)
# One row in a hundred comes late, by up to an hour, as from a collector that was cut off.
_INSERT = f"""
INSERT INTO audit_event
SELECT $1, n, '{EVENT_PREFIX}' || {_TIME_CHARS} || upper(substr(digest, 1, 16)),
       'user_01JB8ZUSER' || actor,
       CASE WHEN n % greatest($2 / {RARE_ACTOR_ROWS}, 1) = 11 THEN '{RARE_ACTOR}'
            ELSE 'person-' || actor || '@example.com' END,
       ($6::text[])[which], ($7::text[])[which],
       '{CLUSTER}/payments/web-frontend-' || digest,
       CASE WHEN ($7::text[])[which] IN ('pod', 'cluster') THEN '{CLUSTER}' END,
       substr(hash, 1, 10), replace(($8::text[])[which], '@', digest),
       ms, ms + 1500, hash, hash, hash
FROM (
    SELECT *, lpad(floor(
               {USERS} * power(('x' || substr(digest, 9, 7))::bit(28)::int / 268435456.0, 3)
           )::text, 4, '0') AS actor,
           CASE WHEN n % greatest($2 / {RARE_ROWS}, 1) = 7 THEN $9::int
                ELSE ($5::int[])[('x' || substr(digest, 17, 7))::bit(28)::int % {_SLOTS} + 1]
           END AS which
    FROM (
        SELECT n::bigint AS n, md5($1 || n::text) AS digest, sha256(($1 || n::text)::bytea) AS hash,
               $3::bigint + ($4::bigint - $3::bigint) * n / $2
                 - CASE WHEN n % 100 = 50 THEN (n * 7919) % 3600000 ELSE 0 END AS ms
        FROM generate_series(0, $2::bigint - 1) AS n
    ) AS numbered
) AS drawn
"""
