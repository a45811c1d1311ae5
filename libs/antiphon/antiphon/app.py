"""App: which function serves which message; checked before the first record is read."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import cached_property
from math import inf, isinf
from typing import Any, Literal, TypeVar, get_type_hints

from antiphon.context import Context, WorkflowContext
from antiphon.declarations import ControlTable
from antiphon.durations import Duration, seconds
from antiphon.errors import ConfigurationError
from antiphon.messages import Answer, Command, Event, Message
from antiphon.retry import IN_MEMORY, Retry
from antiphon.topics import bad_name

CommandT = TypeVar("CommandT", bound=Command[Any])
EventT = TypeVar("EventT", bound=Event)
# the handler's own return type is kept exactly, so that a decorated handler stays callable as written
OutT = TypeVar("OutT", bound="Awaitable[Answer | None] | Answer | None")
DoneT = TypeVar("DoneT", bound="Awaitable[None] | None")
CommandHandler = Callable[[CommandT, Context], OutT]
EventHandler = Callable[[EventT, Context], DoneT]
WorkflowT = TypeVar("WorkflowT", bound="Answer | None")
WorkflowFunction = Callable[[CommandT, WorkflowContext], Coroutine[Any, Any, WorkflowT]]
Start = Literal["now", "earliest"]
NEWEST_VERSION = 65_535  # of a workflow, as histories store it


@dataclass(frozen=True)
class Handler:
    """A function with the policy declared beside it; `start` is where a new event subscription begins."""

    fn: Callable[..., Any]
    kind: type[Message]
    retry: Retry
    timeout: float
    start: Start = "now"

    @cached_property
    def name(self) -> str:
        return str(getattr(self.fn, "__qualname__", self.fn))

    @cached_property
    def asynchronous(self) -> bool:
        return inspect.iscoroutinefunction(self.fn)

    @cached_property
    def hints(self) -> dict[str, Any]:
        try:
            return get_type_hints(self.fn)
        except NameError as error:
            raise ConfigurationError(
                [f"{self.name}: {error}; message classes must be importable at run time, not under TYPE_CHECKING"]
            ) from None

    @cached_property
    def message(self) -> type[Any]:
        """The class that the first parameter is annotated with (else ConfigurationError)."""
        names = list(inspect.signature(self.fn).parameters)
        if len(names) != 2:
            raise ConfigurationError([f"{self.name}: a handler takes a message and a context, not {names}"])
        message = self.hints.get(names[0])
        if not (isinstance(message, type) and issubclass(message, self.kind) and message is not self.kind):
            raise ConfigurationError(
                [f"{self.name}: annotate {names[0]!r} with a {self.kind.__name__} class, not {message!r}"]
            )
        return message

    @cached_property
    def returns(self) -> type[Answer] | None:
        found = self.hints.get("return")
        return None if found is type(None) else found


@dataclass(frozen=True)
class Workflow(Handler):
    """A command handler that may wait: an instance stays on the `version` that it began with.

    `timeout` limits a whole run; it is infinite where none is declared.
    """

    version: int = 1

    @property
    def limit(self) -> float | None:
        """The timeout in seconds; None for none."""
        return None if isinf(self.timeout) else self.timeout


class App:
    """A service: a consumer group with its handlers.

    `delivery` is `transactional` (exactly once inside Kafka) or `at_least_once` (for handlers that keep no state).
    """

    def __init__(self, service: str, *, delivery: Literal["transactional", "at_least_once"] = "transactional") -> None:
        self.service = service
        self.delivery = delivery
        self.commands: list[Handler] = []
        self.events: list[Handler] = []
        self.workflows: list[Workflow] = []
        self.controls = ControlTable()  # what is declared at run time; its worker keeps it up to date

    def command(
        self, *, retry: Retry = Retry(), timeout: Duration = "60s"
    ) -> Callable[[CommandHandler[CommandT, OutT]], CommandHandler[CommandT, OutT]]:
        """Register the one handler of a command; a plain `def` runs in the thread pool."""

        def register(fn: CommandHandler[CommandT, OutT]) -> CommandHandler[CommandT, OutT]:
            self.commands.append(Handler(fn, Command, retry, seconds(timeout)))
            return fn

        return register

    def event(
        self, *, retry: Retry = Retry(), timeout: Duration = "60s", start: Start = "now"
    ) -> Callable[[EventHandler[EventT, DoneT]], EventHandler[EventT, DoneT]]:
        """Register one of any number of handlers of an event; `start` is where a new subscription begins."""

        def register(fn: EventHandler[EventT, DoneT]) -> EventHandler[EventT, DoneT]:
            self.events.append(Handler(fn, Event, retry, seconds(timeout), start))
            return fn

        return register

    def workflow(
        self, *, version: int = 1, retry: Retry = Retry(), timeout: Duration | None = None
    ) -> Callable[[WorkflowFunction[CommandT, WorkflowT]], WorkflowFunction[CommandT, WorkflowT]]:
        """Register a version of the workflow of a command, an `async def`; new instances begin with the newest one.

        A run that ends by an error which `retry` names is undone (its compensations) and begun again. `timeout` is for
        the whole run.
        """

        def register(fn: WorkflowFunction[CommandT, WorkflowT]) -> WorkflowFunction[CommandT, WorkflowT]:
            limit = inf if timeout is None else seconds(timeout)
            self.workflows.append(Workflow(fn, Command, retry, limit, version=version))
            return fn

        return register

    @property
    def messages(self) -> set[type[Message]]:
        """Every class that a handler takes or returns."""
        taken = {handler.message for handler in (*self.commands, *self.events, *self.workflows)}
        answering = (*self.commands, *self.workflows)
        return taken | {handler.returns for handler in answering if handler.returns is not None}

    def check(self) -> None:
        """Every mistake of this app in one ConfigurationError, before anything is read."""
        wrong = [problem for problem in [bad_name(self.service)] if problem]
        for handler in (*self.commands, *self.events, *self.workflows):
            try:
                wrong += self._mistakes(handler)
            except ConfigurationError as error:
                wrong += error.mistakes
        if wrong:
            raise ConfigurationError(f"{self.service}: {line}" for line in wrong)

    def _mistakes(self, handler: Handler) -> list[str]:
        message = handler.message
        wrong = (
            []
            if message.key_field in (None, *message.model_fields)
            else [f"{message.__name__} names {message.key_field!r} as its key, which is not a field of it"]
        )
        wrong += self._needs_state(handler, message) if self.delivery == "at_least_once" else []
        if handler.kind is Event:
            problem = bad_name(message.family)
            return [*wrong, f"{message.__name__}: {problem}"] if problem else wrong
        return wrong + self._command_mistakes(handler, message)

    @staticmethod
    def _needs_state(handler: Handler, message: type[Message]) -> list[str]:
        """What a service that keeps no state cannot promise."""
        hint = "needs delivery='transactional'; this service delivers at least once"
        wrong = [f"{message.__name__} is declared ordered, which {hint}"] if message.ordered else []
        if isinstance(handler, Workflow):
            return [*wrong, f"{handler.name} is a workflow, which {hint}"]
        long = [delay for delay in handler.retry.delays if delay > IN_MEMORY]
        if long:
            wrong.append(f"{handler.name} is tried again after {long[0]:g} s; longer than {IN_MEMORY:g} s {hint}")
        return wrong

    def _command_mistakes(self, handler: Handler, message: type[Command[Any]]) -> list[str]:
        wrong = []
        declared = message.reply_type()
        if declared is not handler.returns:
            wrong.append(
                f"{handler.name} returns {handler.returns}, but {message.__name__} is answered with {declared}"
            )
        if message.service != self.service:
            wrong.append(f"{message.__name__} belongs to service {message.service!r}, not {self.service!r}")
        if isinstance(handler, Workflow):
            return wrong + self._workflow_mistakes(handler, message)
        if next(other.fn for other in self.commands if other.message is message) is not handler.fn:
            wrong.append(f"{message.__name__} has a second handler, {handler.name}; a command has exactly one")
        return wrong

    def _workflow_mistakes(self, workflow: Workflow, message: type[Command[Any]]) -> list[str]:
        wrong = [] if workflow.asynchronous else [f"{workflow.name} is a workflow, so it must be an `async def`"]
        if not 1 <= workflow.version <= NEWEST_VERSION:
            wrong.append(f"{workflow.name} has version {workflow.version}; versions go from 1 to {NEWEST_VERSION}")
        first = next(o for o in self.workflows if o.message is message and o.version == workflow.version)
        if first is not workflow:
            wrong.append(
                f"{message.__name__} has two workflows of version {workflow.version}, {first.name} and "
                f"{workflow.name}; give the newer one the next version"
            )
        if any(handler.message is message for handler in self.commands):
            wrong.append(f"{message.__name__} has a handler and a workflow, {workflow.name}; a command has exactly one")
        return wrong
