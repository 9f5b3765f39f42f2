"""Statistics of the log that are never far behind it, so that each organization's are known.

PostgreSQL gathers them anew when a tenth of the table has changed. A log that is long has grown by
whole organizations until then: of such a one it expects a single row, takes any index for as good,
and each search reads all of its events.

Revision ID: 0014
Revises: 0013
"""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Gather them after a number of changes, however long the log is."""
    _alter("SET (autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000)")


def downgrade() -> None:
    """Gather them as of any table."""
    _alter("RESET (autovacuum_analyze_scale_factor, autovacuum_analyze_threshold)")


def _alter(change: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"ALTER TABLE audit_event {change}")
