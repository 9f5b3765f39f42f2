"""The hub as one piece: its features, its background jobs, and the order of starting.

Owns the two lists that nothing else knows whole, and `HubServer`, which `main.py` runs.
A feature is named here and nowhere else. Never holds a rule or a statement of SQL.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable
from functools import partial
from importlib.metadata import version

from aiohttp import web
from radar_audit_runtime.probes import Check, Probes
from radar_audit_runtime.tasks import Tasks, Work

from . import openapi
from .audit import access_log
from .audit import handlers as audit
from .auth import handlers as auth
from .billing import handlers as billing
from .bootstrap import Means
from .clusters import handlers as clusters
from .clusters import silence
from .clusters.guard import DENIALS, Denials
from .context import HUB, Hub
from .destinations import handlers as destinations
from .external import handlers as external
from .first_start import prepare_first_start
from .inbox import handlers as inbox
from .ingest import handlers as ingest
from .invitations import handlers as invitations
from .mail import job as mail
from .members import handlers as members
from .middleware import ERROR_PAGE, mark, surround
from .notices import job as notices
from .notices import mails as notice_mails
from .notify import handlers as alerts
from .notify.following import job as following
from .notify.sending import job as sending
from .orgs import handlers as orgs
from .outbox import job as outbox
from .outbox.delivery import Handlers
from .policy import handlers as policy
from .policy import job as overrides
from .protocol import listener
from .retention import job as retention
from .settings import PREFIX, HubSettings, split_address
from .signin import handlers as signin
from .signin.state import SIGNIN, Signin
from .sso import handlers as sso
from .store.database import Database
from .store.migrate_apart import migrate_apart
from .store.revision import is_current
from .tokens import handlers as tokens
from .web import error_pages
from .web import handlers as pages

FEATURES = (
    openapi,
    auth,
    alerts,
    policy,  # before the log, whose events are found at any name below it
    audit,
    ingest,
    external,
    clusters,
    tokens,
    signin,
    sso,
    orgs,
    members,
    billing,
    invitations,
    destinations,
    inbox,
    pages,
)
OUTBOX: Handlers = {
    **sso.OUTBOX,
    **mail.OUTBOX,
    **notice_mails.OUTBOX,
    **invitations.OUTBOX,
    **billing.OUTBOX,
}
JOB_RESTARTS = 1000  # a job that breaks is tried again: expired rows are hidden without it
JOB_PAUSE_SECONDS = 10.0
_logger = logging.getLogger(__name__)


class AddressError(Exception):
    """An address of the settings cannot be listened on; the message names its variable."""


class SchemaNotCurrentError(Exception):
    """The database's schema is not the one this version needs, and migrating is turned off."""


def build_app(hub: Hub) -> web.Application:
    """Return the application with every feature's routes; nothing listens yet."""
    app = web.Application(middlewares=[surround])
    app.on_response_prepare.append(mark)
    app[HUB] = hub
    app[ingest.INGEST] = ingest.Ingest.create(hub)
    app[SIGNIN] = Signin.create(hub)
    app[DENIALS] = Denials()
    app[ERROR_PAGE] = error_pages.show
    for feature in FEATURES:
        app.add_routes(feature.routes())
    return app


class HubServer:
    """A running hub; `start` shows the whole order, `stop` goes back through it."""

    def __init__(
        self,
        settings: HubSettings,
        *,
        now_ms: Callable[[], int],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        """Start nothing; `now_ms` is the clock in Unix ms, `random_bytes` a source of secrets."""
        self._settings, self._now_ms, self._random_bytes = settings, now_ms, random_bytes
        self._undo: list[Callable[[], Awaitable[object]]] = []
        self._serving = False
        self.tasks = Tasks()
        self.port = 0
        self.probes_port = 0

    async def start(self) -> None:
        """Start all parts. Raises AddressError, store errors and, as said here, of the schema.

        SchemaNotCurrentError: it is not, and is to be left alone. MigrationFailedError.
        """
        try:
            db = await self._open_database()
            hub = Hub.create(
                db, self._settings, now_ms=self._now_ms, random_bytes=self._random_bytes
            )
            await self._start_probes(hub)
            await self._prepare_schema(db)
            await prepare_first_start(db, self._settings, Means(self._now_ms(), self._random_bytes))
            await self._listen(hub)
            self._start_jobs(hub)
        except BaseException:
            await self.stop()
            raise
        self._serving = True
        _logger.info(
            "the hub is serving", extra={"port": self.port, "probes_port": self.probes_port}
        )

    async def stop(self) -> None:
        """Stop what was started, the last first; requests get `drain_seconds` to end."""
        self._serving = False
        while self._undo:
            undo = self._undo.pop()
            try:
                await undo()
            except Exception:  # the other parts still have to be stopped
                _logger.exception("a part did not stop well")

    async def _open_database(self) -> Database:
        db = await Database.open(
            self._settings.resolved_database_url(), pool_size=self._settings.database_pool_size
        )
        self._undo.append(db.close)
        return db

    async def _start_probes(self, hub: Hub) -> None:
        async def database_answers() -> bool:
            await hub.db.ping()
            return True

        async def schema_is_current() -> bool:
            return await is_current(hub.db)

        checks: dict[str, Check] = {
            "serving": lambda: self._serving,
            "database": database_answers,
            "schema": schema_is_current,
            "jobs": self.tasks.healthy,
        }
        probes = Probes("hub", version("radar-audit-hub"), hub.metrics.registry, checks)
        self._undo.append(probes.stop)
        self.probes_port = await _listen_on(
            f"{PREFIX}PROBES_LISTEN", self._settings.probes_listen, probes.start
        )

    async def _prepare_schema(self, db: Database) -> None:
        if await is_current(db):
            return
        if not self._settings.migrate:
            raise SchemaNotCurrentError(
                "the database's schema is not the one this version needs; "
                "run `radar-audit-hub migrate`, or leave RADAR_AUDIT_HUB_MIGRATE on"
            )
        await migrate_apart(self._settings.resolved_database_url())

    async def _listen(self, hub: Hub) -> None:
        app = build_app(hub)
        serving = listener(app, self._settings.max_connections, self._settings.drain_seconds)
        self._undo.append(hub.outbound.close)
        self._undo.append(hub.deliveries.close)
        self._undo.append(hub.last_used.stop)
        self._undo.append(app[ingest.INGEST].joiner.close)
        self._undo.append(serving.stop)
        self._undo.append(hub.signal.stop)  # first: long polls and tails end by it
        self.port = await _listen_on(f"{PREFIX}LISTEN", self._settings.listen, serving.start)

    def _start_jobs(self, hub: Hub) -> None:
        self._undo.append(self.tasks.stop)
        jobs: dict[str, Work] = {
            "alerts": partial(following.run_forever, hub),
            "log access": partial(access_log.run_forever, hub),
            "overrides": partial(overrides.run_forever, hub),
            "notices": partial(notices.run_forever, hub),
            "outbox": partial(outbox.run_forever, hub, OUTBOX),
            "sending": partial(sending.run_forever, hub, notices.on_disabled),
            "silence": partial(silence.run_forever, hub),
        }
        if self._settings.purge_enabled:
            jobs["retention"] = partial(retention.run_forever, hub)
        for name, job in jobs.items():
            self.tasks.start(name, job, JOB_RESTARTS, JOB_PAUSE_SECONDS)


async def _listen_on(
    variable: str, address: str, start: Callable[[str, int], Awaitable[int]]
) -> int:
    host, port = split_address(variable, address)
    try:
        return await start(host, port)
    except OSError as error:
        # asyncio's own text repeats the address; that of a name that is unknown does not.
        code = error.errno or 0
        reason = os.strerror(code) if code > 0 else error.strerror
        raise AddressError(f"{variable} is {address}, where it cannot listen: {reason}") from None
