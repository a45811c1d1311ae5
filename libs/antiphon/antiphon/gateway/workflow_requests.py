"""What the endpoints of workflows take, as JSON."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

Text = Annotated[str, Field(min_length=1, max_length=512)]
Person = Annotated[str, Field(max_length=128, description="Who wants it; shown, never trusted.")]
Reason = Annotated[str, Field(max_length=1000)]


class SignalRequest(BaseModel):
    """An event for an instance; the same `message_id` again is the same signal."""

    model_config = ConfigDict(extra="forbid")

    type: Annotated[Text, Field(description="An event's class, or its name on the wire.")]
    payload: dict[str, JsonValue] = {}
    message_id: UUID | None = None


class OperatorRequest(BaseModel):
    """Who wants it, and why."""

    model_config = ConfigDict(extra="forbid")

    by: Person = ""
    reason: Reason = ""


class ResumeRequest(BaseModel):
    """Who wants it."""

    model_config = ConfigDict(extra="forbid")

    by: Person = ""


class ResetRequest(OperatorRequest):
    """After which turn of the newest run the new one goes on."""

    turn: Annotated[int, Field(ge=1, lt=2**31, strict=True)]


class DecisionRequest(BaseModel):
    """What a person has decided; `proposal` replaces what was asked about, where that may be edited."""

    model_config = ConfigDict(extra="forbid")

    approved: Annotated[bool, Field(strict=True)]
    by: Annotated[str, Field(min_length=1, max_length=128)]
    role: Annotated[str, Field(max_length=128)] = ""
    note: Reason = ""
    proposal: dict[str, JsonValue] | None = None
