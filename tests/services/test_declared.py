"""What is shipped as declarations, and what becomes of it in the service."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import pytest

from antiphon import Context, Permanent, Retryable
from antiphon.clocks.system import SystemClock
from antiphon.control import CommandTypeDeclared, DeclaredCommand, ProcessorDeclared
from antiphon.declarations import Controls, ControlTable
from antiphon.errors import LlmBadAnswer
from antiphon.gateway.parameters import violations, wrong_schema
from antiphon.llm import Llm
from antiphon.llms.openai import OpenAiLlm, OpenAiOptions
from antiphon.llms.scripted import ScriptedLlm
from services.processors.declared import DeclaredWork
from tests.model_server import ModelServer, said

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


class Told(NamedTuple):
    """What a handler has told of itself, and in which attempt."""

    attempt: int
    progress: list[tuple[float | None, str]]
    priority: str = "normal"


def context(attempt: int = 1) -> tuple[Context, Told]:
    """A context as far as a declared command needs it; the real one is at work in test_control_plane.py."""
    told = Told(attempt, [])

    async def progress(fraction: float | None = None, note: str = "") -> None:
        told.progress.append((fraction, note))

    return cast(Context, SimpleNamespace(attempt=attempt, priority="normal", tenant="", progress=progress)), told


def work(llm: Llm, *processors: ProcessorDeclared) -> DeclaredWork:
    controls = ControlTable()
    controls.show(Controls({processor.entry: processor for processor in processors}))
    return DeclaredWork(controls, lambda: llm, SystemClock())


def processor(name: str, instructions: str = "", **more: Any) -> ProcessorDeclared:
    return ProcessorDeclared(
        name=name, command_types=["send_campaign"], instructions=instructions, created_at=NOW, **more
    )


async def test_without_a_processor_a_command_fails_at_the_second_look_and_says_what_is_missing() -> None:
    declared = work(ScriptedLlm())
    with pytest.raises(Retryable, match="no processor is declared"):
        await declared.carry_out(COMMAND, context(1)[0])
    with pytest.raises(Permanent, match=r"send_campaign.*no processor is declared"):
        await declared.carry_out(COMMAND, context(2)[0])


async def test_the_offline_model_answers_and_says_that_it_is_simulated() -> None:
    found = await work(ScriptedLlm(), processor("mailer", "Be kind.")).carry_out(COMMAND, context()[0])
    assert (found.processor, found.simulated) == ("mailer", True)


@pytest.mark.promise("S0-09", "S0-14")
async def test_each_processor_asks_with_its_own_instructions() -> None:
    with ModelServer(lambda asked: said('{"sent": 3}')) as server:
        llm = OpenAiLlm(OpenAiOptions(server.url, "test-model"))
        kind, curt = processor("kind", "Be kind."), processor("curt", "Be curt.", skills=["haste"])
        declared = work(llm, kind, curt)
        hasty = DeclaredCommand(command_type="send_campaign", parameters={"skill": "haste"})
        answers = [await declared.carry_out(command, context()[0]) for command in (COMMAND, hasty)]
        await llm.close()
    assert [(answer.processor, answer.result) for answer in answers] == [
        (answers[0].processor, {"sent": 3}),
        ("curt", {"sent": 3}),
    ]
    assert "Be curt." in server.asked[1].texts[0]
    assert '"skill": "haste"' in server.asked[1].texts[-1]


@pytest.mark.promise("S0-31")
async def test_long_work_goes_on_step_by_step_and_tells_how_far_it_is() -> None:
    steps = iter(
        [
            '{"done": false, "progress": 0.25, "note": "a quarter is moved"}',
            '{"done": false, "progress": 0.75}',
            '{"done": true, "moved": 1000}',
        ]
    )
    with ModelServer(lambda asked: said(next(steps))) as server:
        llm = OpenAiLlm(OpenAiOptions(server.url, "test-model"))
        ctx, told = context()
        found = await work(llm, processor("mover")).carry_out(COMMAND, ctx)
        await llm.close()
    assert found.result == {"done": True, "moved": 1000}
    assert told.progress == [(0.25, "a quarter is moved"), (0.75, "")]
    assert "a quarter is moved" in " ".join(server.asked[-1].texts), "what was said before is said again"


async def test_progress_that_is_none_is_a_bad_answer() -> None:
    with ModelServer(lambda asked: said('{"done": false, "progress": "much"}')) as server:
        llm = OpenAiLlm(OpenAiOptions(server.url, "test-model"))
        with pytest.raises(LlmBadAnswer, match="progress is 'much'"):
            await work(llm, processor("mover")).carry_out(COMMAND, context()[0])
        await llm.close()


@pytest.mark.promise("S0-15", "S0-17", "S0-18", "S0-34")
def test_computed_work_is_done_in_the_name_of_the_least_busy_processor_that_takes_it() -> None:
    declared = work(ScriptedLlm(), processor("one"), processor("two"), processor("urgent", priorities=["critical"]))
    ctx, _ = context()
    with (
        declared.named("send_campaign", ctx) as first,
        declared.named("send_campaign", ctx) as second,
        declared.named("process_data", ctx) as nobody,
    ):
        busy = {name: load.busy for name, load in declared._controls.loads().items()}
    assert {first, second} == {"one", "two"}
    assert nobody is None
    assert busy == {"one": 1, "two": 1, "urgent": 0}
    assert {name: load.done for name, load in declared._controls.loads().items()} == {"one": 1, "two": 1, "urgent": 0}
