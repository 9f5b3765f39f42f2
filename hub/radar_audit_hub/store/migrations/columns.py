"""The kinds of columns that the steps make their tables of.

Owns types only: a step spells out its own columns, so that later changes of the schema do not
change it. Called by the steps. Never changes: a new kind is a new function.
"""

from __future__ import annotations

import sqlalchemy as sa

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def text(name: str, *, null: bool = False) -> sa.Column[str]:
    """Return a column of text, compared byte by byte."""
    return sa.Column(name, _TEXT, nullable=null)


def whole(name: str, *, null: bool = False) -> sa.Column[int]:
    """Return a column of 64-bit numbers, which the database never counts up by itself."""
    return sa.Column(name, sa.BigInteger, nullable=null, autoincrement=False)


def raw(name: str, *, null: bool = False) -> sa.Column[bytes]:
    """Return a column of bytes."""
    return sa.Column(name, sa.LargeBinary, nullable=null)
