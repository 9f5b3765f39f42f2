"""What the commands of `radar-audit-hub` share: settings, an open database, errors in words.

Owns the step from a command's work to its exit code. Called by `main.py` and the modules of
commands beside it. Never shows the database's URL.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import secrets
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import click
from radar_audit_events.redact import redact_text
from radar_audit_runtime.logs import configure
from radar_audit_runtime.settings import SettingsError

from . import console
from .app import AddressError, SchemaNotCurrentError
from .bootstrap import BootstrapError, Means
from .errors import HubError
from .settings import PREFIX, HubSettings, load_settings
from .store.control import list_orgs
from .store.database import Database, DatabaseUrlError
from .store.driver_logs import hide_statements
from .store.faults import cause_of, is_unavailable
from .store.migrate_apart import MigrationFailedError
from .store.revision import is_current

COMPONENT = "hub"
_logger = logging.getLogger(__name__)


def run(
    config: Path | None, work: Callable[[Database], Awaitable[None]], *, current: bool = True
) -> None:
    """Open the database, do the work, close it; `current` demands an up-to-date schema."""
    settings = settings_of(config)
    configure(COMPONENT, "warning", sys.stderr, redact_text)
    hide_statements()

    async def with_database() -> None:
        db = await Database.open(settings.resolved_database_url(), pool_size=2)
        try:
            if current and not await is_current(db):
                raise console.CommandError(
                    "the database's schema is not the one this version needs",
                    "run `radar-audit-hub migrate`, or `radar-audit-hub init` for a new database",
                )
            await work(db)
        finally:
            await db.close()

    try:
        asyncio.run(with_database())
    except click.ClickException:
        raise
    except Exception as error:
        raise told(error) from None


def told(error: Exception) -> console.CommandError:
    """Return the error in words; the trace of one that is not expected goes to the log."""
    if isinstance(error, BootstrapError):
        return console.CommandError(str(error), error.hint)
    if isinstance(error, AddressError | SchemaNotCurrentError | MigrationFailedError | HubError):
        return console.CommandError(str(error))
    if isinstance(error, DatabaseUrlError):
        return console.SettingsRefusedError(f"{PREFIX}DATABASE_URL: {error}")
    if is_unavailable(error):
        return console.CommandError(
            f"the database cannot be used ({cause_of(error)})",
            f"check {PREFIX}DATABASE_URL or {PREFIX}DATA_DIR",
        )
    _logger.error("the command failed", exc_info=error)
    return console.CommandError(f"{type(error).__name__}: {redact_text(str(error))}")


async def migrate(db: Database, revision: str = "head", *, down: bool = False) -> None:
    """Bring the schema to `revision`, in this process.

    The module is loaded by its name: a server, whose program has the same commands, never pays
    for Alembic (`store/migrate_apart.py`).
    """
    await importlib.import_module("radar_audit_hub.store.migrate").migrate(db, revision, down=down)


async def only_org(db: Database) -> str:
    """Return the id of the only org that lives. Raises CommandError if there is not one."""
    async with db.read() as connection:
        orgs = [org for org in await list_orgs(connection) if org.deleted_at_ms is None]
    if len(orgs) != 1:
        found = "no organization yet" if not orgs else f"{len(orgs)} organizations"
        hint = "`radar-audit-hub init` creates one" if not orgs else "give --org-id"
        raise console.CommandError(f"this hub has {found}", hint)
    return orgs[0].id


def settings_of(config: Path | None) -> HubSettings:
    """Return the settings from a TOML file and the environment. Raises SettingsRefusedError."""
    try:
        return load_settings(os.environ, config)
    except SettingsError as error:
        raise console.SettingsRefusedError("; ".join(error.problems)) from None


def new_means() -> Means:
    """Return the clock as it is now, and the system's randomness."""
    return Means(now_ms=now_ms(), random_bytes=secrets.token_bytes)


def now_ms() -> int:
    """Return the time in Unix milliseconds."""
    return time.time_ns() // 1_000_000
