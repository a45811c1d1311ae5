"""The message of the benchmark: six fields, as a record for Avro, as a pydantic model, and as Antiphon's messages."""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from uuid import UUID, uuid4

from pydantic import AwareDatetime, BaseModel

from antiphon import Command, Event

TRACEPARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PAYLOAD = {
    "tenant": "acme-industries",
    "document": "s3://bucket/contracts/2026/11/0042.pdf",
    "instruction": "summarise the termination clauses",
    "language": "en",
}
SOURCE_FAMILY = "analyses"
TARGET_FAMILY = "results"


class Priority(StrEnum):
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class Analysis(BaseModel):
    """What every system reads and writes."""

    command_id: UUID
    correlation_id: UUID
    agent: str
    priority: Priority
    created_at: AwareDatetime
    payload: dict[str, str]


class AnalysisWanted(Analysis, Event, family=SOURCE_FAMILY):
    """Antiphon's input as an event."""


class AnalysisDone(Analysis, Event, family=TARGET_FAMILY):
    """Antiphon's output."""


class Analyse(Analysis, Command[AnalysisDone], service="bench"):
    """Antiphon's input as a command."""


@lru_cache(maxsize=1)
def correlation_ids() -> list[UUID]:
    """The ids of a thousand conversations, which are the messages' keys; a case with fewer keys takes the first."""
    return [uuid4() for _ in range(1000)]
