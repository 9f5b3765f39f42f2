"""The head of an org's log: its lock, and all that is kept beside the rows.

Owns the SQL of `audit_log_head`, `audit_tile` and `audit_day_count`. Called by `log.py` when it
appends and by `purge.py`. Whoever calls anything here has locked the head first. Never touches
a row of the log itself, but reads leaf hashes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from radar_audit_events.chain import TILE_WIDTH, Frontier, split_hashes
from sqlalchemy import CursorResult, Row
from sqlalchemy.ext.asyncio import AsyncConnection

from .database import driver, fetch, insert_into
from .schema import audit_log_head
from .sql import arguments_for

_LOCK_HEAD = {
    "postgresql": "SELECT next_seq, min_seq, frontier FROM audit_log_head "
    "WHERE org_id = $1 FOR UPDATE",
    "sqlite": "SELECT next_seq, min_seq, frontier FROM audit_log_head WHERE org_id = ?",
}
_TILE_TAKES_OVER = "ON CONFLICT (org_id, level, tile) DO UPDATE SET hashes = excluded.hashes"
_COUNT_ADDS_UP = (
    "ON CONFLICT (org_id, day, action) DO UPDATE SET n = audit_day_count.n + excluded.n"
)
_SAVE_TILES_POSTGRESQL = (
    "INSERT INTO audit_tile (org_id, level, tile, hashes) "  # noqa: S608 - our own words only
    "SELECT $1::text, 0, tile, hashes FROM unnest($2::bigint[], $3::bytea[]) AS full_tile"
    f"(tile, hashes) {_TILE_TAKES_OVER}"
)
_SAVE_TILE_SQLITE = (
    "INSERT INTO audit_tile (org_id, level, tile, hashes) "  # noqa: S608 - our own words only
    f"VALUES (?, 0, ?, ?) {_TILE_TAKES_OVER}"
)


def _add_counts_postgresql(first: int) -> str:
    """Return the statement that adds day counts given as three arrays from argument `first` on."""
    return (
        "INSERT INTO audit_day_count (org_id, day, action, n) "  # noqa: S608 - argument numbers
        f"SELECT $1::text, day, action, n FROM unnest(${first}::bigint[], ${first + 1}::text[], "
        f"${first + 2}::bigint[]) AS counted(day, action, n) {_COUNT_ADDS_UP}"
    )


_ADD_COUNTS_POSTGRESQL = _add_counts_postgresql(2)
_ADD_COUNT_SQLITE = (
    "INSERT INTO audit_day_count (org_id, day, action, n) "  # noqa: S608 - our own words only
    f"VALUES (?, ?, ?, ?) {_COUNT_ADDS_UP}"
)
_ADVANCE_POSTGRESQL = (
    f"WITH tiles AS ({_SAVE_TILES_POSTGRESQL}), "  # noqa: S608 - our own words only
    f"counts AS ({_add_counts_postgresql(4)}) "
    "UPDATE audit_log_head SET next_seq = $7, frontier = $8 WHERE org_id = $1"
)


@dataclass(slots=True)
class Head:
    """An org's log head while its row is locked: sizes are counts of events ever appended."""

    next_seq: int
    min_seq: int
    frontier: Frontier


async def lock_head(connection: AsyncConnection, org_id: str) -> Head:
    """Lock and return an org's head, making it if this is the org's first event.

    Every writer of a log row comes through here first; readers do not.
    """
    row = await _locked(connection, org_id)
    if row is None:
        await connection.execute(
            insert_into(connection, audit_log_head)
            .values(org_id=org_id, next_seq=0, min_seq=0, frontier=Frontier().to_bytes())
            .on_conflict_do_nothing()
        )
        row = await _locked(connection, org_id)
    assert row is not None  # it was there or has just been made
    return Head(row[0], row[1], Frontier.from_bytes(row[2]))


async def _locked(connection: AsyncConnection, org_id: str) -> Row[int, int, bytes] | None:
    # Through SQLAlchemy, not the driver: its first statement is what opens the transaction.
    sql = _LOCK_HEAD[connection.dialect.name]
    result: CursorResult[int, int, bytes] = await connection.exec_driver_sql(sql, (org_id,))
    return result.one_or_none()


async def tile_hashes(connection: AsyncConnection, org_id: str, tile: int, end: int) -> list[bytes]:
    """Return the leaf hashes of a level-0 tile up to seq `end`, from kept hashes and rows.

    Rows of the tile may have been purged; their hashes were kept then.
    """
    first = tile * TILE_WIDTH
    args = arguments_for(connection)
    org = args.add(org_id)
    sql = (
        f"SELECT -1 AS seq, hashes FROM audit_tile "  # noqa: S608 - arguments only
        f"WHERE org_id = {org} AND level = 0 AND tile = {args.add(tile)} "
        f"UNION ALL SELECT seq, leaf_hash FROM audit_event "
        f"WHERE org_id = {org} AND seq >= {args.add(first)} AND seq < {args.add(end)}"
    )
    rows = {row[0]: bytes(row[1]) for row in await fetch(connection, sql, args.values)}
    hashes = split_hashes(rows.pop(-1, b""))
    hashes.extend(rows[seq] for seq in range(first + len(hashes), end))
    return hashes[: end - first]


async def save_tile(
    connection: AsyncConnection, org_id: str, tile: int, hashes: Sequence[bytes]
) -> None:
    """Write a level-0 tile, full or not yet; an earlier shorter copy is replaced."""
    await _save_tiles(connection, org_id, {tile: b"".join(hashes)})


async def full_tiles(
    connection: AsyncConnection, org_id: str, first: int, leaves: Sequence[bytes]
) -> dict[int, bytes]:
    """Return the tiles that these leaves, from seq `first` on, complete."""
    end = first + len(leaves)
    tiles = {}
    for tile in range(first // TILE_WIDTH, end // TILE_WIDTH):
        begins, tile_end = tile * TILE_WIDTH, (tile + 1) * TILE_WIDTH
        if begins >= first:
            hashes = list(leaves[begins - first : tile_end - first])
        else:
            hashes = await tile_hashes(connection, org_id, tile, first)
            hashes.extend(leaves[: tile_end - first])
        tiles[tile] = b"".join(hashes)
    return tiles


async def advance(
    connection: AsyncConnection,
    org_id: str,
    frontier: Frontier,
    tiles: dict[int, bytes],
    counts: Counter[tuple[int, str]],
) -> None:
    """Write all that follows from new rows: tiles, day counts, and the head itself.

    One statement on PostgreSQL, because every further one lengthens the head's lock.
    """
    if connection.dialect.name == "postgresql":
        raw = await driver(connection)
        await raw.execute(
            _ADVANCE_POSTGRESQL,
            org_id,
            list(tiles),
            list(tiles.values()),
            *_columns_of(counts),
            frontier.size,
            frontier.to_bytes(),
        )
        return
    if tiles:
        await _save_tiles(connection, org_id, tiles)
    await add_day_counts(connection, org_id, counts)
    await fetch(
        connection,
        "UPDATE audit_log_head SET next_seq = ?2, frontier = ?3 WHERE org_id = ?1",
        (org_id, frontier.size, frontier.to_bytes()),
    )


async def _save_tiles(connection: AsyncConnection, org_id: str, tiles: dict[int, bytes]) -> None:
    raw = await driver(connection)
    if connection.dialect.name == "postgresql":
        await raw.execute(_SAVE_TILES_POSTGRESQL, org_id, list(tiles), list(tiles.values()))
    else:
        await raw.executemany(
            _SAVE_TILE_SQLITE, [(org_id, tile, hashes) for tile, hashes in tiles.items()]
        )


async def add_day_counts(
    connection: AsyncConnection, org_id: str, counts: Counter[tuple[int, str]]
) -> None:
    """Add (or with negative numbers take away) counts of (day since 1970, action).

    The caller has locked the head, so the transaction is open.
    """
    raw = await driver(connection)
    if connection.dialect.name == "postgresql":
        await raw.execute(_ADD_COUNTS_POSTGRESQL, org_id, *_columns_of(counts))
    else:
        await raw.executemany(
            _ADD_COUNT_SQLITE, [(org_id, day, action, n) for (day, action), n in counts.items()]
        )


def _columns_of(counts: Counter[tuple[int, str]]) -> tuple[list[int], list[str], list[int]]:
    # In one order for all writers, though the head's lock lets in only one of an org.
    ordered = sorted(counts.items())
    return (
        [day for (day, _), _ in ordered],
        [action for (_, action), _ in ordered],
        [n for _, n in ordered],
    )
