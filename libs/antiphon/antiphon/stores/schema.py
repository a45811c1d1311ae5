"""The tables of the read side; migrations make them, a test holds both together."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

TABLES = MetaData(naming_convention={"pk": "pk_%(table_name)s", "ix": "ix_%(table_name)s_%(column_0_N_name)s"})

TAG_NAME, TAG_VALUE = 64, 256  # characters; what is longer would not fit into an index

# none_as_null: a missing value is SQL's NULL, never JSON's
Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")

commands = Table(
    "commands",
    TABLES,
    Column("command_id", String(36), primary_key=True),
    Column("command_type", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("correlation_id", Text),
    Column("priority", String(8), nullable=False),
    Column("tags", Json, nullable=False),
    Column("created_at", Double),
    Column("updated_at", Double),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("attempts", BigInteger, nullable=False),
    Column("result", Text),
    Column("processor", Text),
    Column("replica", Text),
    Column("error", Json),
    Column("progress", Json),
    Column("payload_hash", String(32)),
    Column("origin_topic", Text),
    Column("origin_partition", Integer),
    Column("origin_offset", BigInteger),
    Column("key", LargeBinary),
    Column("not_before", Double),
    Column("generation", Integer, nullable=False, server_default=text("0")),
    Column("listed_at", Double, nullable=False, server_default=text("0")),
    Column("version", Integer, nullable=False),
    # from here on the gateway's: a projection never changes these, but drops what is no longer needed
    Column("metadata", Json),
    Column("body", Text),
    Column("body_hash", String(32)),
    Column("submitted_at", Double),
    Column("due_at", Double),
)
Index("ix_commands_correlation_id", commands.c.correlation_id)
Index("ix_commands_status_updated_at", commands.c.status, commands.c.updated_at)
Index(
    "ix_commands_due_at",
    commands.c.due_at,
    sqlite_where=commands.c.due_at.is_not(None),
    postgresql_where=commands.c.due_at.is_not(None),
)

# every way of asking for the newest has an index that holds them in order
Index("ix_commands_listed_at_command_id", commands.c.listed_at, commands.c.command_id)
Index("ix_commands_status_listed_at_command_id", commands.c.status, commands.c.listed_at, commands.c.command_id)
Index(
    "ix_commands_command_type_listed_at_command_id",
    commands.c.command_type,
    commands.c.listed_at,
    commands.c.command_id,
)

command_tags = Table(
    "command_tags",
    TABLES,
    Column("command_id", String(36), nullable=False),
    Column("name", String(TAG_NAME), nullable=False),
    Column("value", String(TAG_VALUE), nullable=False),
    PrimaryKeyConstraint("command_id", "name"),
)
Index("ix_command_tags_name_value_command_id", command_tags.c.name, command_tags.c.value, command_tags.c.command_id)

history = Table(
    "command_history",
    TABLES,
    Column("place_topic", String(249), nullable=False),
    Column("place_partition", Integer, nullable=False),
    Column("place_offset", BigInteger, nullable=False),
    Column("command_id", String(36), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("occurred_at", Double, nullable=False),
    Column("status", String(16)),
    Column("service", Text, nullable=False),
    Column("handler", Text),
    Column("replica", Text),
    Column("attempt", BigInteger),
    Column("error", Json),
    Column("generation", Integer, nullable=False, server_default=text("0")),
    Column("note", Text),
    PrimaryKeyConstraint("place_topic", "place_partition", "place_offset"),
)
Index("ix_command_history_command_id_occurred_at", history.c.command_id, history.c.occurred_at)

dead_letters = Table(
    "dead_letters",
    TABLES,
    Column("letter_id", String(16), primary_key=True),
    Column("place_topic", Text, nullable=False),
    Column("place_partition", Integer, nullable=False),
    Column("place_offset", BigInteger, nullable=False),
    Column("state", String(10), nullable=False),
    Column("message_id", String(36), nullable=False),
    Column("message_type", Text),
    Column("service", Text, nullable=False),
    Column("handler", Text),
    Column("generation", Integer, nullable=False),
    Column("code", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("failure", Json, nullable=False),
    Column("origin_topic", Text, nullable=False),
    Column("origin_partition", Integer, nullable=False),
    Column("origin_offset", BigInteger, nullable=False),
    Column("attempts", BigInteger, nullable=False),
    Column("received_at", Double, nullable=False),
    Column("given_up_at", Double, nullable=False),
    Column("record_key", LargeBinary),
    Column("record_value", LargeBinary),
    Column("record_headers", Json, nullable=False),
)
Index("ix_dead_letters_given_up_at_letter_id", dead_letters.c.given_up_at, dead_letters.c.letter_id)
Index(
    "ix_dead_letters_state_given_up_at_letter_id",
    dead_letters.c.state,
    dead_letters.c.given_up_at,
    dead_letters.c.letter_id,
)
Index("ix_dead_letters_message_id", dead_letters.c.message_id)

# what is wanted with a dead letter may be read before the letter itself
letter_marks = Table(
    "dead_letter_marks",
    TABLES,
    Column("letter_id", String(16), primary_key=True),
    Column("rank", Integer, nullable=False),
    Column("marked_at", Double, nullable=False),
    Column("state", String(10), nullable=False),
)

workflows = Table(
    "workflows",
    TABLES,
    Column("instance_id", String(36), primary_key=True),
    Column("service", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("run", Integer, nullable=False),
    Column("turns", BigInteger, nullable=False),
    Column("whole", Boolean, nullable=False),
    Column("workflow", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("correlation_id", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("status", String(10), nullable=False),
    Column("note", Text),
    Column("parked", Json),
    Column("started_at", Double),
    Column("updated_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("due_at", Double),
    Column("waiting", Integer, nullable=False),
    Column("open_approvals", Integer, nullable=False),
    Column("summary", Text),
    Column("listed_at", Double, nullable=False),
)
Index("ix_workflows_listed_at_instance_id", workflows.c.listed_at, workflows.c.instance_id)
Index("ix_workflows_status_listed_at_instance_id", workflows.c.status, workflows.c.listed_at, workflows.c.instance_id)
Index("ix_workflows_correlation_id", workflows.c.correlation_id)
Index(
    "ix_workflows_open_approvals",
    workflows.c.open_approvals,
    sqlite_where=workflows.c.open_approvals > 0,
    postgresql_where=workflows.c.open_approvals > 0,
)

workflow_turns = Table(
    "workflow_turns",
    TABLES,
    Column("instance_id", String(36), nullable=False),
    Column("run", Integer, nullable=False),
    Column("turn", BigInteger, nullable=False),
    Column("record", LargeBinary, nullable=False),
    PrimaryKeyConstraint("instance_id", "run", "turn"),
)

projections = Table(
    "projections",
    TABLES,
    Column("name", String(64), primary_key=True),
    Column("version", BigInteger, nullable=False),
)

positions = Table(
    "positions",
    TABLES,
    Column("projection", String(64), nullable=False),
    Column("topic", String(249), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("next_offset", BigInteger, nullable=False),
    PrimaryKeyConstraint("projection", "topic", "partition"),
)

controls = Table(
    "controls",
    TABLES,
    Column("entry", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("body", Text, nullable=False),
)

replicas = Table(
    "replicas",
    TABLES,
    Column("service", Text, nullable=False),
    Column("replica", Text, nullable=False),
    Column("seen_at", Double, nullable=False),
    Column("body", Text, nullable=False),
    PrimaryKeyConstraint("service", "replica"),
)
