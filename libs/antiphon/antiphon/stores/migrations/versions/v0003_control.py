"""What is declared at run time, and which replicas there are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "controls",
        sa.Column("entry", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("entry", name="pk_controls"),
    )
    op.create_table(
        "replicas",
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("replica", sa.Text, nullable=False),
        sa.Column("seen_at", sa.Double, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("service", "replica", name="pk_replicas"),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("replicas")
    op.drop_table("controls")
