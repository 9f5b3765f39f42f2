"""Which database errors mean "away for now" rather than a fault of ours.

Owns the one list of those exception types. Called by `http_errors.py`, so that
no other part needs to know the drivers. Never reads an error's text, which may
hold values.
"""

from __future__ import annotations

import sqlite3

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
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shutting down, statement cancelled by its timeout
    asyncpg.InsufficientResourcesError,
    asyncpg.LockNotAvailableError,
    asyncpg.TransactionRollbackError,  # deadlock or serialisation: the same call may succeed
    asyncpg.ReadOnlySQLTransactionError,  # connected to a standby after a failover
)


def is_unavailable(error: BaseException) -> bool:
    """Tell whether trying the same call again later may succeed."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    cause = error.orig if isinstance(error, DBAPIError) else None
    return isinstance(error, _AWAY) or isinstance(cause, _AWAY)
