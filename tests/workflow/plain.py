"""The kernel fed by hand: inputs as a host makes them, messages as JSON."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from antiphon import App, Message, WorkflowContext
from antiphon.handler import Workflow
from antiphon.workflow import turns
from antiphon.workflow.instance import Identity, Instance
from antiphon.workflow.kernel import advance, open_instance, rebuild
from antiphon.workflow.turns import Input, KernelOptions, Turn
from tests.workflow.messages import MaintainVehicle, MaintenanceDecided

MessageT = TypeVar("MessageT", bound=Message)
Flow = Callable[[MaintainVehicle, WorkflowContext], Coroutine[Any, Any, MaintenanceDecided]]
IDENTITY = Identity("i1", 1)


def decode(value: bytes, expected: type[MessageT], /) -> MessageT:
    return expected.model_validate_json(value)


def encode(message: Message) -> bytes:
    return message.model_dump_json().encode()


OPTIONS = KernelOptions(decode, budget=500)


def registered(fn: Flow, version: int = 1) -> Workflow:
    app = App("maintenance")
    app.workflow(version=version)(fn)
    return app.workflows[0]


class Fed:
    """An instance and its history."""

    def __init__(self, fn: Flow, options: KernelOptions = OPTIONS) -> None:
        self.workflow, self.options = registered(fn), options
        self.instance: Instance = open_instance(self.workflow, IDENTITY, options)
        self.records: list[bytes] = []

    def feed(self, told: Input) -> Turn:
        turn = advance(self.instance, told)
        if turn.record is not None:
            self.records.append(turn.record)
        return turn

    def start(self, at: float = 1.0, left: int = 0) -> Turn:
        return self.feed(turns.start(at, encode(MaintainVehicle(vehicle_id="v1", left=left)), "order 7"))

    def reply(self, at: float, number: int, message: Message | None = None) -> Turn:
        return self.feed(turns.reply(at, number, b"" if message is None else encode(message)))

    def rebuilt_by(self, fn: Flow) -> Instance:
        """Its history, fed to other code."""
        return rebuild(registered(fn), IDENTITY, self.options, self.records)


def answered(instance: Instance, number: int, message: Message) -> Turn:
    """The turn that an answer leads to."""
    return advance(instance, turns.reply(9.0, number, encode(message)))


def line_of(fn: Flow, after: int) -> str:
    """The place `after` lines below the `async def`."""
    code = fn.__code__
    return f"{code.co_filename}:{code.co_firstlineno + after} in {code.co_qualname}"
