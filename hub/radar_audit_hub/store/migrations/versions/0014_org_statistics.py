"""Let PostgreSQL think of all organizations alike, also of those it has not met.

With statistics of the log's org_id, an organization newer than the last ANALYZE is expected to have
one row: any index is as good then, and a search of its log reads and sorts all of it. Without them,
each is expected to have many, so that the index in the page's order is taken.

Revision ID: 0014
Revises: 0013
"""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_TARGET = "ALTER TABLE audit_event ALTER COLUMN org_id SET STATISTICS {}"


def upgrade() -> None:
    """Gather no statistics of the column."""
    _set(0)


def downgrade() -> None:
    """Gather them as of any column."""
    _set(-1)


def _set(target: int) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_TARGET.format(target))
