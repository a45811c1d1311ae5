"""App: which function serves which message; checked before the first record is read."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from types import ModuleType
from typing import Any, Literal, TypeVar, get_type_hints

from antiphon.context import Context
from antiphon.declarations import ControlTable
from antiphon.dependency import Dependency
from antiphon.discovery import found_in
from antiphon.durations import Duration, seconds
from antiphon.errors import ConfigurationError
from antiphon.messages import Answer, Command, Event, Message, event_name, events_below
from antiphon.middleware import MiddlewareT, around, passed_by
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
Start = Literal["now", "earliest"]


@dataclass(frozen=True)
class Handler:
    """A function with the policy declared beside it; `start` is where a new event subscription begins.

    `order` ranks the handlers of one event, `matching` narrows an event subscription to names that fit it.
    """

    fn: Callable[..., Any]
    kind: type[Message]
    retry: Retry
    timeout: float
    start: Start = "now"
    needs: tuple[Dependency, ...] = ()
    rate: Rate | None = None
    order: int = 0
    matching: str | None = None

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
        bare = message is self.kind and self.matching is None
        if not (isinstance(message, type) and issubclass(message, self.kind) and not bare):
            raise ConfigurationError(
                [f"{self.name}: annotate {names[0]!r} with a {self.kind.__name__} class, not {message!r}"]
            )
        return message

    @cached_property
    def messages(self) -> list[type[Any]]:
        """The classes that it is run for: of an event also those below it, as far as the program has imported them.

        Raises ConfigurationError where there are none.
        """
        if self.kind is not Event:
            return [self.message]
        found = events_below(self.message)
        fitting = [event for event in found if fnmatchcase(event_name(event), self.matching or "*")]
        if not fitting:
            known = ", ".join(map(event_name, found)) or "no classes with a family"
            wanted = f"is named like {self.matching!r}" if self.matching is not None else "is published"
            raise ConfigurationError(
                [f"{self.name} would never run: nothing that {wanted} among the events it knows ({known})"]
            )
        return fitting

    @cached_property
    def families(self) -> set[str]:
        """The event families that it reads."""
        return {message.family for message in self.messages}

    @cached_property
    def returns(self) -> type[Answer] | None:
        found = self.hints.get("return")
        return None if found is type(None) else found


class Handlers:
    """Handlers that apps include: what a module of a larger service registers its own with."""

    def __init__(self) -> None:
        self.commands: list[Handler] = []
        self.events: list[Handler] = []
        self.layers: list[Callable[..., Any]] = []  # middleware, the outermost first
        self.closed = False  # it runs, or has been included: what is registered now would never be called

    def command(
        self,
        *,
        retry: Retry = Retry(),
        timeout: Duration = "60s",
        needs: Sequence[Dependency] = (),
        rate: Rate | None = None,
    ) -> Callable[[CommandHandler[CommandT, OutT]], CommandHandler[CommandT, OutT]]:
        """Register the one handler of a command; a plain `def` runs in the thread pool.

        It waits, without losing an attempt, while what it `needs` is down, and for its `rate`.
        """

        def register(fn: CommandHandler[CommandT, OutT]) -> CommandHandler[CommandT, OutT]:
            self._still_open(fn)
            self.commands.append(Handler(fn, Command, retry, seconds(timeout), needs=tuple(needs), rate=rate))
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
        order: int = 0,
        matching: str | None = None,
    ) -> Callable[[EventHandler[EventT, DoneT]], EventHandler[EventT, DoneT]]:
        """Register one of any number of handlers of an event, and of the events that are sub-classes of it.

        `start` is where a new subscription begins. Those of a lower `order` run first, of the same one as declared.
        `matching` takes only events whose name `family.Class` fits, as in "orders.*" or "*.*Failed"; then the
        parameter may be an `Event` of any kind.
        """

        def register(fn: EventHandler[EventT, DoneT]) -> EventHandler[EventT, DoneT]:
            self._still_open(fn)
            policy = Handler(fn, Event, retry, seconds(timeout), start, tuple(needs), rate)
            self.events.append(replace(policy, order=order, matching=matching))
            return fn

        return register

    def middleware(self, fn: MiddlewareT) -> MiddlewareT:
        """Run it around every attempt, with (message, context, call_next); the first one registered is outermost.

        An `async def` is around the handlers that are one, a plain `def` around the plain ones. It sees what the
        handler returned or raised, may return something else of the declared class, and may raise.
        """
        self._still_open(fn)
        self.layers.append(fn)
        return fn

    def include(self, handlers: Handlers | ModuleType | str) -> None:
        """Add these handlers inside of their own middleware, or those of all `Handlers` in a module or package.

        What they hold now is added; ConfigurationError where there is nothing, or nothing is found.
        """
        groups = [handlers] if isinstance(handlers, Handlers) else found_in(handlers, Handlers)
        wrong = [line for group in groups for line in group.unguarded()]
        if not any(group.commands or group.events for group in groups):
            wrong.append(f"nothing to include in {getattr(handlers, '__name__', handlers)}: it has no `Handlers`")
        if wrong:
            raise ConfigurationError(wrong)
        self._still_open(handlers)
        for group in groups:
            group.closed = True
            self.commands += group.inside(group.commands)
            self.events += group.inside(group.events)

    def inside(self, handlers: Iterable[Handler]) -> list[Handler]:
        """The same with the middleware around them."""
        layers = self.layers
        return [replace(one, fn=around(one.fn, layers)) for one in handlers] if layers else list(handlers)

    def unguarded(self) -> list[str]:
        """Handlers that no middleware would be around, though there is some: one line each."""
        return passed_by((handler.fn for handler in (*self.commands, *self.events)), self.layers)

    def _still_open(self, what: object) -> None:
        if self.closed:
            name = getattr(what, "__qualname__", type(what).__name__)
            raise ConfigurationError([f"{name} comes too late: what it is registered with runs, or has been included"])


class App(Handlers):
    """A service: a consumer group with its handlers.

    `delivery` is `transactional` (exactly once inside Kafka) or `at_least_once` (for handlers that keep no state).
    """

    def __init__(self, service: str, *, delivery: Literal["transactional", "at_least_once"] = "transactional") -> None:
        super().__init__()
        self.service = service
        self.delivery = delivery
        self.controls = ControlTable()  # what is declared at run time; its worker keeps it up to date

    @property
    def messages(self) -> set[type[Message]]:
        """Every class that a handler takes or returns."""
        taken = {message for handler in (*self.commands, *self.events) for message in handler.messages}
        return taken | {handler.returns for handler in self.commands if handler.returns is not None}

    def check(self) -> None:
        """Every mistake of this app in one ConfigurationError, before anything is read."""
        wrong = [*filter(None, [bad_name(self.service)]), *self.unguarded()]
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
        wrong = []
        for message in handler.messages:
            if message.key_field not in (None, *message.model_fields):
                wrong.append(f"{message.__name__} names {message.key_field!r} as its key, which is not a field of it")
            wrong += self._needs_state(handler, message) if self.delivery == "at_least_once" else []
            if handler.kind is Event and (problem := bad_name(message.family)):
                wrong.append(f"{message.__name__}: {problem}")
        return wrong if handler.kind is Event else wrong + self._command_mistakes(handler, handler.message)

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
        first = next(other for other in self.commands if other.message is message)
        if first is not handler:
            wrong.append(f"{message.__name__} has two handlers, {first.name} and {handler.name}: a command has one")
        return wrong
