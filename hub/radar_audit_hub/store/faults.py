"""Which database errors mean "away for now" rather than a fault of ours.

Owns the one list of those exception types, and what may be said of such an
error. Called by `http_errors.py`, `middleware.py` and `main.py`, so that no
other part needs to know the drivers. Never reads an error's text, which may
hold values.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator

import asyncpg
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

_AWAY: tuple[type[BaseException], ...] = (
    OSError,  # connection refused, reset, no route, no space left
    TimeoutError,
    PoolTimeoutError,
    OperationalError,
    InterfaceError,
    sqlite3.OperationalError,  # locked past the busy timeout, disk full, unable to open
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that the server ended in this very moment
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shutting down, statement cancelled by its timeout
    asyncpg.InsufficientResourcesError,
    asyncpg.LockNotAvailableError,
    asyncpg.TransactionRollbackError,  # deadlock or serialisation: the same call may succeed
    asyncpg.ObjectNotInPrerequisiteStateError,  # the database takes no connections for now
    asyncpg.InvalidAuthorizationSpecificationError,  # its password was changed before ours
    asyncpg.InvalidCatalogNameError,  # it is being restored under its name
    asyncpg.ReadOnlySQLTransactionError,  # connected to a standby after a failover
)


def is_unavailable(error: BaseException) -> bool:
    """Tell whether trying the same call again later may succeed."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return any(isinstance(cause, _AWAY) for cause in _causes(error))


def cause_of(error: BaseException) -> str:
    """Return what happened, without values: SQLite's or the system's word, or an SQLSTATE."""
    for cause in _causes(error):
        if isinstance(cause, sqlite3.Error) and hasattr(cause, "sqlite_errorname"):
            return cause.sqlite_errorname
        if isinstance(cause, asyncpg.PostgresError):
            return f"{type(cause).__name__}, SQLSTATE {cause.sqlstate}"
        if isinstance(cause, OSError) and cause.errno is not None:
            return os.strerror(cause.errno)
    return type(error).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    yield error
    if isinstance(error, DBAPIError) and error.orig is not None:
        yield error.orig
        # SQLAlchemy's asyncpg adapter wraps once more: the driver's own error is the cause.
        if error.orig.__cause__ is not None:
            yield error.orig.__cause__
