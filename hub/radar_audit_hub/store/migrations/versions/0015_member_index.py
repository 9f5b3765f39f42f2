"""An index of memberships by person: every page asks for the organizations of whoever looks at it.

Revision ID: 0015
Revises: 0014
"""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the index."""
    op.create_index("ix_org_member_user_id", "org_member", ["user_id"])


def downgrade() -> None:
    """Drop it."""
    op.drop_index("ix_org_member_user_id", "org_member")
