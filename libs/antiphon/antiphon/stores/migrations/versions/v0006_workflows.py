"""Instances of workflows, and the records of their turns."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def _json() -> sa.types.TypeEngine[Any]:
    return sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    """Make both tables; they are filled from the log."""
    op.create_table(
        "workflows",
        sa.Column("instance_id", sa.String(36), nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("run", sa.Integer, nullable=False),
        sa.Column("turns", sa.BigInteger, nullable=False),
        sa.Column("whole", sa.Boolean, nullable=False),
        sa.Column("workflow", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("correlation_id", "tenant")),
        sa.Column("status", sa.String(10), nullable=False),
        sa.Column("note", sa.Text),
        sa.Column("parked", _json()),
        sa.Column("started_at", sa.Double),
        sa.Column("updated_at", sa.Double, nullable=False),
        *(sa.Column(name, sa.Double) for name in ("ended_at", "due_at")),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("waiting", "open_approvals")),
        sa.Column("summary", sa.Text),
        sa.Column("listed_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("instance_id", name="pk_workflows"),
    )
    for columns in (["listed_at", "instance_id"], ["status", "listed_at", "instance_id"], ["correlation_id"]):
        op.create_index(f"ix_workflows_{'_'.join(columns)}", "workflows", columns)
    asking = sa.text("open_approvals > 0")
    op.create_index(
        "ix_workflows_open_approvals",
        "workflows",
        ["open_approvals"],
        sqlite_where=asking,
        postgresql_where=asking,
    )
    op.create_table(
        "workflow_turns",
        sa.Column("instance_id", sa.String(36), nullable=False),
        sa.Column("run", sa.Integer, nullable=False),
        sa.Column("turn", sa.BigInteger, nullable=False),
        sa.Column("record", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("instance_id", "run", "turn", name="pk_workflow_turns"),
    )


def downgrade() -> None:
    """Drop both; what was in them is folded again."""
    op.drop_table("workflow_turns")
    op.drop_table("workflows")
    op.execute("DELETE FROM positions WHERE topic LIKE '%state.%' OR topic LIKE '%histories'")
    op.execute("UPDATE projections SET version = version + 1")
