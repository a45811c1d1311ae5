"""Dead letters with their content and what has become of them; when a command may start, and its redrives."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_ZERO = sa.text("0")


def _json() -> sa.types.TypeEngine[Any]:
    return sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    """Make the table of dead letters anew, to be folded again from the log, which has them whole."""
    op.drop_table("dead_letters")
    _dead_letters()
    op.create_table(
        "dead_letter_marks",
        sa.Column("letter_id", sa.String(16), nullable=False),
        sa.Column("rank", sa.Integer, nullable=False),
        sa.Column("marked_at", sa.Double, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.PrimaryKeyConstraint("letter_id", name="pk_dead_letter_marks"),
    )
    op.execute("DELETE FROM positions WHERE topic LIKE '%dead-letters'")
    op.execute("UPDATE projections SET version = version + 1")
    op.add_column("commands", sa.Column("key", sa.LargeBinary))
    op.add_column("commands", sa.Column("not_before", sa.Double))
    for table in ("commands", "command_history"):
        op.add_column(table, sa.Column("generation", sa.Integer, nullable=False, server_default=_ZERO))
    op.add_column("command_history", sa.Column("note", sa.Text))


def _dead_letters() -> None:
    op.create_table(
        "dead_letters",
        sa.Column("letter_id", sa.String(16), nullable=False),
        sa.Column("place_topic", sa.Text, nullable=False),
        sa.Column("place_partition", sa.Integer, nullable=False),
        sa.Column("place_offset", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("message_id", sa.String(36), nullable=False),
        sa.Column("message_type", sa.Text),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("handler", sa.Text),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("failure", _json(), nullable=False),
        sa.Column("origin_topic", sa.Text, nullable=False),
        sa.Column("origin_partition", sa.Integer, nullable=False),
        sa.Column("origin_offset", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Double, nullable=False) for name in ("received_at", "given_up_at")),
        *(sa.Column(name, sa.LargeBinary) for name in ("record_key", "record_value")),
        sa.Column("record_headers", _json(), nullable=False),
        sa.PrimaryKeyConstraint("letter_id", name="pk_dead_letters"),
    )
    for columns in (["given_up_at", "letter_id"], ["state", "given_up_at", "letter_id"], ["message_id"]):
        op.create_index(f"ix_dead_letters_{'_'.join(columns)}", "dead_letters", columns)


def downgrade() -> None:
    """Make the table of the release before anew; what was in it is folded again."""
    op.drop_column("command_history", "note")
    for table in ("commands", "command_history"):
        op.drop_column(table, "generation")
    op.drop_column("commands", "not_before")
    op.drop_column("commands", "key")
    op.drop_table("dead_letter_marks")
    op.drop_table("dead_letters")
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
    op.execute("DELETE FROM positions WHERE topic LIKE '%dead-letters'")
    op.execute("UPDATE projections SET version = version + 1")
