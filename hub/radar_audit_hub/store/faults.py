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
    if isinstance(error, DBAPIError):
        # SQLAlchemy's asyncpg adapter wraps once more: the driver's own error is the cause.
        wrapped = error.orig
        causes = (error, wrapped, None if wrapped is None else wrapped.__cause__)
        return any(isinstance(cause, _AWAY) for cause in causes)
    return isinstance(error, _AWAY)
