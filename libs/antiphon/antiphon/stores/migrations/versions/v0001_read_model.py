"""Commands, dead letters, and how far each projection has come."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _json() -> sa.types.TypeEngine[Any]:
    return sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    """Make the first tables."""
    _commands()
    _dead_letters()
    op.create_table(
        "projections",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_projections"),
    )
    op.create_table(
        "positions",
        sa.Column("projection", sa.String(64), nullable=False),
        sa.Column("topic", sa.String(249), nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("projection", "topic", "partition", name="pk_positions"),
    )


def _commands() -> None:
    op.create_table(
        "commands",
        sa.Column("command_id", sa.String(36), nullable=False),
        sa.Column("command_type", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("correlation_id", sa.Text),
        sa.Column("priority", sa.String(8), nullable=False),
        sa.Column("tags", _json(), nullable=False),
        *(sa.Column(name, sa.Double) for name in ("created_at", "updated_at", "started_at", "finished_at")),
        sa.Column("attempts", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Text) for name in ("result", "processor", "replica")),
        sa.Column("error", _json()),
        sa.Column("payload_hash", sa.String(32)),
        sa.Column("origin_topic", sa.Text),
        sa.Column("origin_partition", sa.Integer),
        sa.Column("origin_offset", sa.BigInteger),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("metadata", _json()),
        sa.Column("body", sa.Text),
        sa.Column("body_hash", sa.String(32)),
        *(sa.Column(name, sa.Double) for name in ("submitted_at", "due_at")),
        sa.PrimaryKeyConstraint("command_id", name="pk_commands"),
    )
    due = sa.text("due_at IS NOT NULL")
    op.create_index("ix_commands_correlation_id", "commands", ["correlation_id"])
    op.create_index("ix_commands_status_updated_at", "commands", ["status", "updated_at"])
    op.create_index("ix_commands_due_at", "commands", ["due_at"], sqlite_where=due, postgresql_where=due)


def _dead_letters() -> None:
    op.create_table(
        "dead_letters",
        sa.Column("place_topic", sa.Text, nullable=False),
        sa.Column("place_partition", sa.Integer, nullable=False),
        sa.Column("place_offset", sa.BigInteger, nullable=False),
        sa.Column("message_id", sa.String(36), nullable=False),
        sa.Column("message_type", sa.Text),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("handler", sa.Text),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("code", "message", "origin_topic")),
        sa.Column("origin_partition", sa.Integer, nullable=False),
        sa.Column("origin_offset", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Double, nullable=False) for name in ("received_at", "given_up_at")),
        sa.PrimaryKeyConstraint("place_topic", "place_partition", "place_offset", name="pk_dead_letters"),
    )
    op.create_index("ix_dead_letters_given_up_at", "dead_letters", ["given_up_at"])
    op.create_index("ix_dead_letters_message_id", "dead_letters", ["message_id"])


def downgrade() -> None:
    """Drop them."""
    for table in ("positions", "projections", "dead_letters", "commands"):
        op.drop_table(table)
