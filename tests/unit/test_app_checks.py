"""What an app declares is checked before anything is read: batch handlers, and what computes in other processes."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from antiphon import App, BatchContext, Command, ConfigurationError, Context, CpuContext, Event, Failed, Reply


class Measured(Event, family="checking"):
    value: int


class Said(Reply):
    text: str


class Ask(Command[Said], service="checking"):
    text: str


class Note(Command, service="checking"):
    text: str


async def ask(commands: list[Ask], ctx: BatchContext) -> list[Said | Failed]:
    return [Said(text=command.text) for command in commands]


def ask_plainly(commands: list[Ask], ctx: BatchContext) -> list[Said]:
    return [Said(text=command.text) for command in commands]


def note(commands: list[Note], ctx: BatchContext) -> None: ...


def note_each(commands: list[Note], ctx: BatchContext) -> list[Failed | None] | None:
    return None


def note_all(commands: list[Note], ctx: BatchContext) -> list[None]:
    return [None for _ in commands]


def watch(events: list[Measured], ctx: BatchContext) -> Optional[list[Optional[Failed]]]:  # noqa: UP045
    return None


@pytest.mark.parametrize("handler", [ask, ask_plainly, note, note_each, note_all, watch])
def test_what_a_batch_handler_may_return_is_understood(handler: Any) -> None:
    app = App("checking")
    app.batch()(handler)
    app.check()
    (found,) = (*app.commands, *app.events)
    assert found.message in (Ask, Note, Measured)
    assert found.returns is (Said if found.message is Ask else None)


def test_a_batch_handler_stays_callable_as_it_is_written() -> None:
    app = App("checking")
    assert app.batch()(ask_plainly) is ask_plainly


def one(command: Ask, ctx: BatchContext) -> list[Said]:
    return []


def not_a_list(commands: list[Ask], ctx: BatchContext) -> Said:
    return Said(text="")


def two_classes(commands: list[Ask], ctx: BatchContext) -> list[Said | Measured]:
    return []


def only_failures(commands: list[Ask], ctx: BatchContext) -> list[Failed]:
    return []


def all_or_nothing(commands: list[Ask], ctx: BatchContext) -> list[Said] | None:
    return None


def single_context(commands: list[Ask], ctx: Context) -> list[Said]:
    return []


def another_answer(commands: list[Ask], ctx: BatchContext) -> list[Measured]:
    return []


def answer_to_an_event(events: list[Measured], ctx: BatchContext) -> list[Said]:
    return []


@pytest.mark.parametrize(
    ("handler", "told"),
    [
        (one, "annotate 'command' with list"),
        (not_a_list, "returns list"),
        (two_classes, "returns list"),
        (only_failures, "returns list"),
        (all_or_nothing, "returns list"),
        (single_context, "is given a BatchContext"),
        (another_answer, "Ask is answered with"),
        (answer_to_an_event, "nobody is answered"),
    ],
)
def test_a_wrong_batch_handler_is_told_at_the_start(handler: Any, told: str) -> None:
    app = App("checking")
    app.batch()(handler)
    with pytest.raises(ConfigurationError, match=told) as caught:
        app.check()
    assert all(handler.__name__ in line for line in caught.value.mistakes)


def test_a_call_takes_one_message_at_least() -> None:
    app = App("checking")
    app.batch(size=0)(ask)
    with pytest.raises(ConfigurationError, match="size is 0"):
        app.check()


@pytest.mark.promise("S2-02")
def test_a_command_has_one_handler_of_either_kind() -> None:
    app = App("checking")
    app.batch()(ask)

    @app.command()
    def answer(command: Ask, ctx: Context) -> Said:
        return Said(text="")

    with pytest.raises(ConfigurationError, match="has two handlers"):
        app.check()


# -- handlers that compute -------------------------------------------------------------------------------------------


def compute(command: Ask, ctx: CpuContext) -> Said:
    return Said(text=command.text)


def compute_event(event: Measured, ctx: CpuContext) -> None: ...


def test_a_plain_function_at_the_top_of_its_module_may_compute_elsewhere() -> None:
    app = App("checking")
    app.command(cpu=True)(compute)
    app.event(cpu=True)(compute_event)
    app.check()


async def compute_and_await(command: Ask, ctx: CpuContext) -> Said:
    return Said(text="")


def compute_with_state(command: Ask, ctx: Context) -> Said:
    return Said(text="")


def closure() -> Any:
    def compute_in_a_closure(command: Ask, ctx: CpuContext) -> Said:
        return Said(text="")

    return compute_in_a_closure


def local_message() -> Any:
    class Local(Command, service="checking"):
        pass

    def compute_local(command: Local, ctx: CpuContext) -> None: ...

    compute_local.__annotations__["command"] = Local
    return compute_local


@pytest.mark.parametrize(
    ("handler", "told"),
    [
        (compute_and_await, "make it a plain def"),
        (compute_with_state, "is given a CpuContext"),
        (closure(), "at the top level"),
        (local_message(), "at the top level"),
    ],
)
def test_what_cannot_compute_elsewhere_is_told_at_the_start(handler: Any, told: str) -> None:
    app = App("checking")
    app.command(cpu=True)(handler)
    with pytest.raises(ConfigurationError, match=told):
        app.check()
