"""Forced replay: a workflow against scripted answers on a virtual clock, rebuilt from its history after every turn.

    rehearsal = Rehearsal(app)
    rehearsal.answer(AssessVehicle, VehicleAssessed(vehicle_id="v1", failure_probability=0.8))
    assert rehearsal.run(MaintainVehicle(vehicle_id="v1")) == MaintenanceDecided(action="none")

Every message goes through its bytes. A workflow that decides otherwise when its history is fed again fails its test
with NonDeterminism, which names the line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from heapq import heappop, heappush
from inspect import iscoroutine
from itertools import count
from typing import Any

from antiphon.app import App
from antiphon.codecs.avro import AvroCodec
from antiphon.durations import Duration, seconds
from antiphon.errors import AntiphonError, CommandFailed
from antiphon.handler import Workflow
from antiphon.messages import Answer, Command, Event
from antiphon.testing.portraits import portrait
from antiphon.testing.watchdog import watched
from antiphon.workflow import turns
from antiphon.workflow.instance import Identity, Instance
from antiphon.workflow.kernel import advance, close_instance, open_instance, rebuild, standing
from antiphon.workflow.turns import (
    ApprovalRequest,
    CommandRequest,
    Ending,
    Failure,
    Input,
    KernelOptions,
    Outcome,
    StepRequest,
    Turn,
)
from antiphon.workflow_context import Approval

Scripted = Answer | CommandFailed | None
Script = Scripted | Callable[[Any], Scripted]
BEFORE_ALL = -1  # of what happens at one time
BEGIN = 1_800_000_000.0  # seconds since 1970: where the virtual clock begins


class Rehearsal:
    """One instance of a workflow of `app`, with everything around it played.

    `sent` are all commands in order, `published` all events, `cancelled` the commands that are no longer wanted,
    `approvals` what persons were asked and have not decided, `histories` the records of each run, `late` how many
    inputs nothing waited for. `patience` (seconds) is how long one turn may take, by the real clock.
    """

    def __init__(self, app: App, *, instance: str = "rehearsed", patience: float = 10.0, budget: int = 100_000) -> None:
        app.check()
        self._app = app
        self._codec = AvroCodec()
        self._patience = patience
        self._options = KernelOptions(lambda value, kind: self._codec.decode(value, None, kind), budget=budget)
        self._scripts: dict[type[Command[Any]], list[tuple[Script, float]]] = {}
        self._inputs: list[tuple[float, int, Input]] = []
        self._order = count()
        self._workflow: Workflow | None = None
        self._identity = Identity(instance, 0)
        self._first: Input | None = None
        self._instance: Instance | None = None
        self.now = BEGIN
        self.sent: list[Command[Any]] = []
        self.published: list[Event] = []
        self.cancelled: list[Command[Any]] = []
        self.approvals: list[ApprovalRequest] = []
        self.histories: list[list[bytes]] = []
        self.status: str | None = None
        self.outcome: Outcome | None = None
        self.late = 0

    # what is played

    def answer(self, kind: type[Command[Any]], *answers: Script, after: Duration = "0ms") -> None:
        """Answer calls of this command in turn, the last answer again and again, each `after` so long.

        An answer is what the command declares (None for nothing), a CommandFailed, or a function of the command.
        """
        self._scripts.setdefault(kind, []).extend((one, seconds(after)) for one in answers)

    def signal(self, event: Event, *, after: Duration = "0ms") -> None:
        """Send an event to the instance."""
        self._later(seconds(after), turns.signal(0.0, event.type_name(), self._codec.encode(event)))

    def cancel(self, reason: str = "cancelled by the test", *, after: Duration = "0ms") -> None:
        """Ask the instance to end."""
        self._later(seconds(after), turns.cancel(0.0, reason))

    def decide(self, decided: Approval[Any], *, after: Duration = "0ms") -> None:
        """Decide the oldest question that a person was asked (IndexError if there is none)."""
        asked = self.approvals.pop(0)
        self._later(seconds(after), turns.reply(0.0, asked.number, decided.to_json()))

    # what runs

    def start(self, command: Command[Any], *, version: int | None = None) -> None:
        """Begin an instance of the newest version (or of this one), and let it go as far as it can without waiting."""
        self._workflow = self._find(type(command), version)
        self._first = turns.start(0.0, self._codec.encode(command), self._identity.id)
        self._begin_run(self._first)
        self.pass_time("0ms")

    def run(self, command: Command[Any], *, version: int | None = None) -> Answer | None:
        """`start` and `finish`."""
        self.start(command, version=version)
        return self.finish()

    def pass_time(self, duration: Duration) -> None:
        """Let the clock go on for so long; what happens meanwhile happens in its order."""
        until = self.now + seconds(duration)
        while self._step(until):
            pass
        self.now = until

    def finish(self) -> Answer | None:
        """Let the clock go on until the instance has ended; its answer.

        Raises CommandFailed if it has none, and AssertionError if it waits for something that is not scripted.
        """
        while self.outcome is None:
            if not self._step(float("inf")):
                waits = "\n  ".join(standing(self._running()))
                raise AssertionError(f"the workflow waits for what nobody has scripted:\n  {waits}")
        failure = self.outcome.failure
        if failure is not None:
            raise CommandFailed(
                failure.code,
                failure.message,
                error_class=failure.error_class,
                retryable=failure.retryable,
                causes=failure.causes,
            )
        return self.outcome.value

    @property
    def waits_for(self) -> list[str]:
        """What it waits for, one line each."""
        return [] if self.outcome is not None else standing(self._running())

    def _running(self) -> Instance:
        assert self._instance is not None, "start it first"
        return self._instance

    def _find(self, kind: type[Command[Any]], version: int | None) -> Workflow:
        found = {one.version: one for one in self._app.workflows if one.message is kind}
        if not found or (version is not None and version not in found):
            raise AntiphonError(f"{self._app.service} has no workflow of {kind.__name__}, version {version or 'any'}")
        return found[max(found) if version is None else version]

    def _later(self, delay: float, told: Input) -> None:
        heappush(self._inputs, (self.now + delay, next(self._order), told))

    def _begin_run(self, first: Input, after: float = 0.0) -> None:
        assert self._workflow is not None
        self._identity = Identity(self._identity.id, self._identity.run + 1)
        self._instance = open_instance(self._workflow, self._identity, self._options)
        self.histories.append([])
        heappush(self._inputs, (self.now + after, BEFORE_ALL, first))

    def _step(self, until: float) -> bool:
        """The next thing that happens, if it does by then; at the same time, what came goes before what is due."""
        if self.outcome is not None:
            return False
        due = self._running().next_due()
        came = self._inputs[0][0] if self._inputs else float("inf")
        if due is not None and due.at < came:
            if due.at > until:
                return False
            self.now = max(self.now, due.at)
            self._feed(turns.timer(self.now, due.number))
            return True
        if came == float("inf") or came > until:
            return False
        self.now = max(self.now, came)
        self._feed(heappop(self._inputs)[2]._replace(at=self.now))
        return True

    def _feed(self, told: Input) -> None:
        instance = self._running()
        with watched(self._patience):
            turn = advance(instance, told)
        if turn.record is None:
            self.late += 1
            return
        self.histories[-1].append(turn.record)
        self._replace(instance)
        self._play(turn)

    def _replace(self, live: Instance) -> None:
        """From here on the rebuilt instance goes on, if it is the same."""
        assert self._workflow is not None
        rebuilt = rebuild(self._workflow, self._identity, self._options, self.histories[-1])
        was, now = portrait(live), portrait(rebuilt)
        differing = [name for name in was if was[name] != now[name]]
        assert not differing, "\n".join(f"{name}: live {was[name]}, rebuilt {now[name]}" for name in differing)
        close_instance(live)
        self._instance = rebuilt

    def _play(self, turn: Turn) -> None:
        self.published += [request.event for request in turn.events]
        self.cancelled += [request.command for request in turn.cancels]
        self.approvals += turn.approvals
        self.status = turn.status or self.status
        for command in turn.commands:
            self._answer(command)
        for step in turn.steps:
            self._later(0.0, _outcome_of(step))
        if turn.outcome is not None:
            self._ended(turn.outcome)

    def _answer(self, request: CommandRequest) -> None:
        self.sent.append(request.command)
        scripts = self._scripts.get(type(request.command))
        if not (request.awaited and scripts):
            return
        script, delay = scripts.pop(0) if len(scripts) > 1 else scripts[0]
        answer = script(request.command) if callable(script) else script
        self._later(delay, self._as_input(request, answer))

    def _as_input(self, request: CommandRequest, answer: Scripted) -> Input:
        if isinstance(answer, CommandFailed):
            why = Failure(answer.code, str(answer), answer.error_class, answer.retryable, answer.causes)
            return turns.failure(0.0, request.number, why)
        declared = type(request.command).reply_type()
        if not (answer is None if declared is None else isinstance(answer, declared)):
            raise TypeError(f"{type(request.command).__name__} is answered with {declared}, not with {answer!r:.80}")
        return turns.reply(0.0, request.number, b"" if answer is None else self._codec.encode(answer))

    def _ended(self, outcome: Outcome) -> None:
        """Its end, or the beginning of its next run."""
        assert self._first is not None
        if outcome.ending is Ending.CONTINUED:
            assert outcome.command is not None
            self._first = turns.start(0.0, self._codec.encode(outcome.command), self._identity.id)
        elif outcome.ending is Ending.AGAIN:
            self._first = self._first._replace(number=self._first.number + 1)
        else:
            self.outcome = outcome
            return
        kept = [told for told in self._inputs if told[2].kind in (turns.InputKind.SIGNAL, turns.InputKind.CANCEL)]
        self._inputs = sorted(kept)
        self._begin_run(self._first, outcome.after)
        for name, payload in outcome.signals:
            self._later(outcome.after, turns.signal(0.0, name, payload))


def _outcome_of(step: StepRequest) -> Input:
    """Run a local step; an `async def` has an event loop of its own."""
    try:
        value = step.fn()
        if iscoroutine(value):
            value = _await(value)
        return turns.reply(0.0, step.number, step.result(value))
    except Exception as error:
        why = Failure("failed", str(error), type(error).__name__, retryable=True)
        return turns.failure(0.0, step.number, why)


def _await(coroutine: Coroutine[Any, Any, Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()
