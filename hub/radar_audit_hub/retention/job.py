"""Deletes expired events in the background: one round over all orgs after another.

Owns the rounds, the lease that keeps replicas from doing them twice, and the pauses between
steps. Started by `app.py`, and once by `radar-audit-hub purge`. What has expired is decided in
`policy.py`, how it is deleted in `store/purge.py`. Never needed for hiding expired events: every
read path does that by itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NoReturn

from radar_audit_events.codec import SALT_BYTES

from radar_audit_hub.context import Hub
from radar_audit_hub.polling import poll_forever
from radar_audit_hub.store.collectors import delete_old_gaps, has_old_gaps
from radar_audit_hub.store.control import Org, list_orgs, lock_org
from radar_audit_hub.store.database import Connection, Database
from radar_audit_hub.store.holds import expiry_of
from radar_audit_hub.store.leases import release_lease, take_lease
from radar_audit_hub.store.purge import expired_count, purge_step

from .policy import Expiry

LEASE = "retention"
LEASE_MS = 120_000  # longer than a step may take, short enough that another replica takes over
_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class PurgeReport:
    """What a round deleted (or would delete): rows per org id, only orgs with any."""

    rows: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Rows over all orgs."""
        return sum(self.rows.values())


@dataclass(frozen=True)
class Purger:
    """One round's means: where, how fast, and whom to tell.

    `removed(org_id, rows)` is told after each commit. Times are Unix milliseconds.
    """

    db: Database
    now_ms: Callable[[], int]
    random_bytes: Callable[[int], bytes]
    batch_rows: int
    pause_seconds: float
    removed: Callable[[str, int], None]

    async def round(self, may_go_on: Callable[[], Awaitable[bool]]) -> PurgeReport:
        """Delete all that has expired in every org, also in deleted ones.

        `may_go_on` is asked before each step; False ends the round.
        """
        report = PurgeReport()
        async with self.db.read() as connection:
            orgs = await list_orgs(connection)
        for org in orgs:
            rows, keep = await self._purge_org(org, may_go_on)
            if rows:
                report.rows[org.id] = rows
            if not keep:
                _logger.warning("another replica took over the deletion of expired events")
                break
        return report

    async def _purge_org(
        self, org: Org, may_go_on: Callable[[], Awaitable[bool]]
    ) -> tuple[int, bool]:
        rows = 0
        while await may_go_on():
            now_ms = self.now_ms()

            async def expiry_now(conn: Connection, now_ms: int = now_ms) -> Expiry:
                return await expiry_of(conn, org.id, now_ms)

            deleted = await purge_step(
                self.db,
                org.id,
                expiry_now,
                batch=self.batch_rows,
                now_ms=now_ms,
                salt=self.random_bytes(SALT_BYTES),
            )
            if not deleted:
                await self._delete_gaps(org, now_ms)
                return rows, True
            rows += deleted
            self.removed(org.id, deleted)
            await asyncio.sleep(self.pause_seconds)
        return rows, False

    async def _delete_gaps(self, org: Org, now_ms: int) -> None:
        async with self.db.read() as connection:
            floor_ms = (await expiry_of(connection, org.id, now_ms)).floors.default_ms
            if not await has_old_gaps(connection, org.id, floor_ms):
                return
        async with self.db.write() as connection:
            await lock_org(connection, org.id)
            floor_ms = (await expiry_of(connection, org.id, now_ms)).floors.default_ms
            await delete_old_gaps(connection, org.id, floor_ms)


async def expired_now(db: Database, now_ms: int) -> PurgeReport:
    """Count what a round at `now_ms` would delete; changes nothing."""
    report = PurgeReport()
    async with db.read() as connection:
        orgs = [
            (org, await expiry_of(connection, org.id, now_ms))
            for org in await list_orgs(connection)
        ]
    for org, expired in orgs:
        if rows := await expired_count(db, org.id, expired.floors):
            report.rows[org.id] = rows
    return report


class Lease:
    """The lease on the rounds as `holder` (a random name) sees it; prolonged when half is over."""

    def __init__(
        self, db: Database, now_ms: Callable[[], int], holder: str, name: str = LEASE
    ) -> None:
        """Hold nothing yet; `name` says on whose rounds the lease is."""
        self._db, self._now_ms, self._holder, self._name = db, now_ms, holder, name
        self._until_ms = 0

    async def keep(self) -> bool:
        """Take or keep the lease; False while another holds it."""
        now_ms = self._now_ms()
        if self._until_ms - now_ms > LEASE_MS // 2:
            return True
        until_ms = now_ms + LEASE_MS
        async with self._db.write() as connection:
            taken = await take_lease(
                connection, self._name, self._holder, now_ms=now_ms, until_ms=until_ms
            )
        self._until_ms = until_ms if taken else 0
        return taken

    async def release(self) -> None:
        """Give the lease back; harmless if it is not held."""
        self._until_ms = 0
        async with self._db.write() as connection:
            await release_lease(connection, self._name, self._holder)


async def run_round(purger: Purger, lease: Lease) -> PurgeReport | None:
    """Do one round under the lease; None if another replica does one."""
    if not await lease.keep():
        return None
    try:
        return await purger.round(lease.keep)
    finally:
        await lease.release()


async def run_forever(hub: Hub) -> NoReturn:
    """Do a round every `purge_interval_seconds`; a failed one is logged, the next one tried."""

    def removed(org_id: str, rows: int) -> None:
        hub.metrics.prune_rows.inc(rows)
        hub.signal.notify(org_id)  # the receipt is a new event of the log

    purger = Purger(
        db=hub.db,
        now_ms=hub.now_ms,
        random_bytes=hub.random_bytes,
        batch_rows=hub.settings.purge_batch_rows,
        pause_seconds=hub.settings.purge_pause_seconds,
        removed=removed,
    )
    lease = Lease(hub.db, hub.now_ms, hub.random_bytes(8).hex())

    async def look() -> None:
        report = await run_round(purger, lease)
        if report is None:
            return
        hub.metrics.prune_last_success.set(hub.now_ms() / 1000)
        if report.total:
            _logger.info("deleted expired events", extra={"rows": report.total})

    pause = partial(asyncio.sleep, hub.settings.purge_interval_seconds)
    await poll_forever(look, pause, logger=_logger, trouble="a round of deletion failed")
