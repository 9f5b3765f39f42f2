"""Keeps the database drivers' debug lines out of the log at any level.

Owns the list of loggers. Called by `main.py` where it sets logging up. aiosqlite writes every
statement's arguments at debug level: e-mails, salts and hashes of tokens among them.
"""

from __future__ import annotations

import logging

_LOGGERS = ("aiosqlite", "sqlalchemy", "asyncpg", "alembic")


def hide_statements() -> None:
    """Let the drivers log warnings and errors only."""
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
