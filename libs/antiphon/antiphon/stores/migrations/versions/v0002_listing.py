"""Listing commands by time, type, status and labels; their histories."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# labels of commands that are there already; both databases cut them as the store does
_LABELS = {
    "sqlite": "json_each(commands.tags) AS label",
    "postgresql": "jsonb_each_text(commands.tags) AS label",
}


def upgrade() -> None:
    """Add what listings need, fill it from what is there, make the table of histories."""
    op.add_column("commands", sa.Column("listed_at", sa.Double, nullable=False, server_default=sa.text("0")))
    op.execute("UPDATE commands SET listed_at = COALESCE(created_at, started_at, 0)")
    for columns in (["listed_at"], ["status", "listed_at"], ["command_type", "listed_at"]):
        op.create_index(f"ix_commands_{'_'.join(columns)}_command_id", "commands", [*columns, "command_id"])
    _command_tags()
    _command_history()


def _command_tags() -> None:
    op.create_table(
        "command_tags",
        sa.Column("command_id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("value", sa.String(256), nullable=False),
        sa.PrimaryKeyConstraint("command_id", "name", name="pk_command_tags"),
    )
    op.execute(
        "INSERT INTO command_tags (command_id, name, value) "
        "SELECT command_id, substr(label.key, 1, 64), substr(label.value, 1, 256) "
        f"FROM commands, {_LABELS[op.get_bind().dialect.name]} WHERE true ON CONFLICT DO NOTHING"
    )
    op.create_index("ix_command_tags_name_value_command_id", "command_tags", ["name", "value", "command_id"])


def _command_history() -> None:
    op.create_table(
        "command_history",
        sa.Column("place_topic", sa.String(249), nullable=False),
        sa.Column("place_partition", sa.Integer, nullable=False),
        sa.Column("place_offset", sa.BigInteger, nullable=False),
        sa.Column("command_id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("occurred_at", sa.Double, nullable=False),
        sa.Column("status", sa.String(16)),
        sa.Column("service", sa.Text, nullable=False),
        *(sa.Column(name, sa.Text) for name in ("handler", "replica")),
        sa.Column("attempt", sa.BigInteger),
        sa.Column("error", sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")),
        sa.PrimaryKeyConstraint("place_topic", "place_partition", "place_offset", name="pk_command_history"),
    )
    op.create_index("ix_command_history_command_id_occurred_at", "command_history", ["command_id", "occurred_at"])


def downgrade() -> None:
    """Drop them."""
    op.drop_table("command_history")
    op.drop_table("command_tags")
    for columns in ("command_type_listed_at", "status_listed_at", "listed_at"):
        op.drop_index(f"ix_commands_{columns}_command_id", "commands")
    op.drop_column("commands", "listed_at")
