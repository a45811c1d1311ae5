"""What is shipped as declarations, and what becomes of it in the service."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from antiphon import Permanent, Retryable
from antiphon.control import CommandTypeDeclared, DeclaredCommand, ProcessorDeclared
from antiphon.gateway.parameters import violations, wrong_schema
from services.processors.declared import carry_out

FOLDER = Path(__file__).parents[2] / "services/processors/declarations"
NOW = datetime(2026, 11, 21, tzinfo=UTC)
COMMAND = DeclaredCommand(command_type="send_campaign", parameters={})


def shipped(name: str) -> CommandTypeDeclared:
    body: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))["command_type"]
    return CommandTypeDeclared(**body, declared_at=NOW)


@pytest.mark.promise("S0-27", "S0-28", "S0-31", "S0-32")
@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("process_document", {"document_id": "d-1", "operations": ["summarize"]}, {"document_id": "d-1"}),
        ("search_content", {"query": "oil", "filters": {"year": 2026}}, {"query": "oil", "filters": {"year": [1]}}),
        (
            "send_campaign",
            {"campaign_id": "c", "subject": "s", "recipients": ["a@b.org"]},
            {"campaign_id": "c", "subject": "s", "recipients": ["a"]},
        ),
        ("migrate_data", {"source": "s3://a", "destination": "abfs://b"}, {"source": "s3://a", "destination": "b"}),
    ],
)
def test_a_shipped_type_takes_what_it_describes_and_nothing_else(
    name: str, good: dict[str, Any], bad: dict[str, Any]
) -> None:
    found = shipped(name)
    assert found.name == name
    assert found.description
    assert wrong_schema(found.parameters) == {}
    assert violations(found.parameters, good) == {}
    assert len(violations(found.parameters, bad)) == 1
    assert "(all)" in violations(found.parameters, good | {"surprise": 1})


async def test_without_a_processor_a_command_fails_at_the_second_look_and_says_what_is_missing() -> None:
    with pytest.raises(Retryable, match="no processor is declared for send_campaign"):
        await carry_out(COMMAND, [], 1)
    with pytest.raises(Permanent, match="no processor is declared for send_campaign"):
        await carry_out(COMMAND, [], 2)


async def test_without_a_model_a_command_fails_and_says_so() -> None:
    mailer = ProcessorDeclared(name="mailer", command_types=["send_campaign"], created_at=NOW)
    with pytest.raises(Permanent, match="mailer would carry out send_campaign"):
        await carry_out(COMMAND, [mailer], 1)
