"""App: which function serves which message; checked before the first record is read."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeVar, get_type_hints

from antiphon.bundle import BundleLimits, Failed, listed, outcome_class
from antiphon.context import BatchContext, Context, CpuContext
from antiphon.declarations import ControlTable
from antiphon.dependency import Dependency
from antiphon.durations import Duration, seconds
from antiphon.errors import ConfigurationError
from antiphon.messages import Answer, Command, Event, Lane, Message
from antiphon.rate import Rate
from antiphon.retry import IN_MEMORY, Retry
from antiphon.topics import bad_name

CommandT = TypeVar("CommandT", bound=Command[Any])
EventT = TypeVar("EventT", bound=Event)
# the handler's own return type is kept exactly, so that a decorated handler stays callable as written
OutT = TypeVar("OutT", bound="Awaitable[Answer | None] | Answer | None")
DoneT = TypeVar("DoneT", bound="Awaitable[None] | None")
CommandHandler = Callable[[CommandT, Context], OutT]
EventHandler = Callable[[EventT, Context], DoneT]
MessageT = TypeVar("MessageT", bound="Command[Any] | Event")
Outcomes = Sequence[Answer | Failed | None] | None
OutcomesT = TypeVar("OutcomesT", bound="Awaitable[Outcomes] | Outcomes")
BatchHandler = Callable[[list[MessageT], BatchContext], OutcomesT]
Start = Literal["now", "earliest"]


@dataclass(frozen=True)
class Handler:
    """A function with the policy declared beside it; `start` is where a new event subscription begins."""

    fn: Callable[..., Any]
    kind: type[Message]
    retry: Retry
    timeout: float
    start: Start = "now"
    needs: tuple[Dependency, ...] = ()
    rate: Rate | None = None
    bundle: BundleLimits | None = None  # of a batch handler: it takes many messages at once
    cpu: bool = False  # it runs in a process of its own

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
        annotation = self.hints.get(names[0])
        message = annotation if self.bundle is None else listed(annotation)
        if not (isinstance(message, type) and issubclass(message, self.kind) and message is not self.kind):
            wanted = f"a {self.kind.__name__} class" if self.bundle is None else "list[...] of one message class"
            raise ConfigurationError([f"{self.name}: annotate {names[0]!r} with {wanted}, not {annotation!r}"])
        return message

    @cached_property
    def context(self) -> Any:
        """What the second parameter is annotated with, if it is."""
        return self.hints.get(list(inspect.signature(self.fn).parameters)[1])

    @cached_property
    def returns(self) -> type[Answer] | None:
        """The class of the answer to one message."""
        found = self.hints.get("return")
        if self.bundle is not None:
            found = outcome_class(found, self.name)
        return None if found is type(None) else found


class App:
    """A service: a consumer group with its handlers.

    `delivery` is `transactional` (exactly once inside Kafka) or `at_least_once` (for handlers that keep no state).
    """

    def __init__(self, service: str, *, delivery: Literal["transactional", "at_least_once"] = "transactional") -> None:
        self.service = service
        self.delivery = delivery
        self.commands: list[Handler] = []
        self.events: list[Handler] = []
        self.controls = ControlTable()  # what is declared at run time; its worker keeps it up to date

    def command(
        self,
        *,
        retry: Retry = Retry(),
        timeout: Duration = "60s",
        needs: Sequence[Dependency] = (),
        rate: Rate | None = None,
        cpu: bool = False,
    ) -> Callable[[CommandHandler[CommandT, OutT]], CommandHandler[CommandT, OutT]]:
        """Register the one handler of a command; a plain `def` runs in the thread pool.

        It waits, without losing an attempt, while what it `needs` is down, and for its `rate`. With `cpu` it computes
        for long: a plain function at the top of its module, which takes a `CpuContext` and runs in a process of its
        own, so that it can be ended at its `timeout` and keeps nobody else from running.
        """

        def register(fn: CommandHandler[CommandT, OutT]) -> CommandHandler[CommandT, OutT]:
            self.commands.append(Handler(fn, Command, retry, seconds(timeout), needs=tuple(needs), rate=rate, cpu=cpu))
            return fn

        return register

    def event(
        self,
        *,
        retry: Retry = Retry(),
        timeout: Duration = "60s",
        start: Start = "now",
        needs: Sequence[Dependency] = (),
        rate: Rate | None = None,
        cpu: bool = False,
    ) -> Callable[[EventHandler[EventT, DoneT]], EventHandler[EventT, DoneT]]:
        """Register one of any number of handlers of an event; `start` is where a new subscription begins.

        `cpu` is as of `command`.
        """

        def register(fn: EventHandler[EventT, DoneT]) -> EventHandler[EventT, DoneT]:
            self.events.append(Handler(fn, Event, retry, seconds(timeout), start, tuple(needs), rate, cpu=cpu))
            return fn

        return register

    def batch(
        self,
        *,
        size: int = 64,
        within: Duration = "20ms",
        retry: Retry = Retry(),
        timeout: Duration = "60s",
        start: Start = "now",
        needs: Sequence[Dependency] = (),
    ) -> Callable[[BatchHandler[MessageT, OutcomesT]], BatchHandler[MessageT, OutcomesT]]:
        """Register a handler of many messages of one class at once, commands or events.

        A call is made when `size` messages are ready, or `within` that time of the first one; it returns one outcome
        for each, in their order: the answer (None where there is none) or `Failed`. Where nothing is answered, it may
        return None for all. `retry` is by message, `timeout` by call, `start` as of `event`,
        `needs` as of `command`.
        """

        def register(fn: BatchHandler[MessageT, OutcomesT]) -> BatchHandler[MessageT, OutcomesT]:
            limits = BundleLimits(size, seconds(within))
            handler = Handler(fn, Event, retry, seconds(timeout), start, tuple(needs), bundle=limits)
            try:
                _ = handler.message
                self.events.append(handler)
            except ConfigurationError:  # no event's: a command's, or a mistake that the check will find
                self.commands.append(replace(handler, kind=Command))
            return fn

        return register

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """The lanes that its commands declare, most urgent first."""
        return next((handler.message.lanes for handler in self.commands), ())

    @property
    def messages(self) -> set[type[Message]]:
        """Every class that a handler takes or returns."""
        taken = {handler.message for handler in (*self.commands, *self.events)}
        return taken | {handler.returns for handler in self.commands if handler.returns is not None}

    def check(self) -> None:
        """Every mistake of this app in one ConfigurationError, before anything is read."""
        wrong = [problem for problem in [bad_name(self.service)] if problem]
        for handler in (*self.commands, *self.events):
            try:
                wrong += self._mistakes(handler)
            except ConfigurationError as error:
                wrong += error.mistakes
        wrong += self._ambiguous()
        if wrong:
            raise ConfigurationError(f"{self.service}: {line}" for line in wrong)

    def _ambiguous(self) -> list[str]:
        """Dependencies of one name that are declared in two ways: there is one breaker for each name."""
        found: dict[str, set[Dependency]] = {}
        for handler in (*self.commands, *self.events):
            for dependency in handler.needs:
                found.setdefault(dependency.name, set()).add(dependency)
        twice = [name for name, declared in found.items() if len(declared) > 1]
        return [f"dependency {name!r} is declared with different figures: declare it once" for name in sorted(twice)]

    def _mistakes(self, handler: Handler) -> list[str]:
        message = handler.message
        wrong = (
            []
            if message.key_field in (None, *message.model_fields)
            else [f"{message.__name__} names {message.key_field!r} as its key, which is not a field of it"]
        )
        if handler.bundle is not None:
            wrong += self._bundle_mistakes(handler)
        if handler.cpu:
            wrong += self._cpu_mistakes(handler, message)
        wrong += self._needs_state(handler, message) if self.delivery == "at_least_once" else []
        if handler.kind is Event:
            problem = bad_name(message.family)
            return [*wrong, f"{message.__name__}: {problem}"] if problem else wrong
        return wrong + self._command_mistakes(handler, message)

    @staticmethod
    def _bundle_mistakes(handler: Handler) -> list[str]:
        assert handler.bundle is not None
        wrong = []
        if handler.context not in (None, BatchContext):
            wrong.append(f"{handler.name}: a batch handler is given a BatchContext, not {handler.context!r}")
        if handler.bundle.size < 1:
            wrong.append(f"{handler.name}: size is {handler.bundle.size}; a call takes one message at least")
        if handler.kind is Event and handler.returns is not None:
            wrong.append(f"{handler.name} returns {handler.returns}, but nobody is answered by what handles an event")
        return wrong

    @staticmethod
    def _cpu_mistakes(handler: Handler, message: type[Message]) -> list[str]:
        wrong = []
        if handler.asynchronous:
            wrong.append(f"{handler.name}: what computes in a process of its own awaits nothing; make it a plain def")
        if handler.context not in (None, CpuContext):
            wrong.append(f"{handler.name}: a handler with cpu=True is given a CpuContext, not {handler.context!r}")
        for what in filter(None, (handler.fn, message, handler.returns)):
            try:
                pickle.dumps(what)
            except (pickle.PicklingError, AttributeError, TypeError) as error:
                place = "another process must be able to import it: define it at the top level of its module"
                wrong.append(f"{handler.name}: {place} ({error})")
        return wrong

    @staticmethod
    def _needs_state(handler: Handler, message: type[Message]) -> list[str]:
        """What a service that keeps no state cannot promise."""
        hint = "needs delivery='transactional'; this service delivers at least once"
        wrong = [f"{message.__name__} is declared ordered, which {hint}"] if message.ordered else []
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
        elif message.lanes != self.lanes:
            first = self.commands[0].message
            wrong.append(
                f"{message.__name__} and {first.__name__} declare different lanes of {self.service!r}, "
                f"{message.lanes} and {first.lanes}: make one Service(…) and name it in both"
            )
        if next(other.fn for other in self.commands if other.message is message) is not handler.fn:
            wrong.append(f"{message.__name__} has a second handler, {handler.name}; a command has exactly one")
        return wrong
