"""App: which function serves which message; checked before the first record is read."""

from __future__ import annotations

import pickle
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from math import inf
from types import ModuleType
from typing import Any, Literal, TypeVar

from antiphon.bundle import BundleLimits, Failed
from antiphon.context import BatchContext, Context, CpuContext
from antiphon.declarations import ControlTable
from antiphon.dependency import Dependency
from antiphon.discovery import found_in
from antiphon.durations import Duration, seconds
from antiphon.errors import ConfigurationError
from antiphon.escalation import Escalation
from antiphon.handler import NEWEST_VERSION, Handler, Hearing, Start, Workflow, hearing
from antiphon.messages import Answer, Command, Event, Lane, Message
from antiphon.metrics import Metrics, NoMetrics
from antiphon.middleware import MiddlewareT, around, passed_by
from antiphon.rate import Rate
from antiphon.retry import IN_MEMORY, Retry
from antiphon.topics import bad_name
from antiphon.tracing import NoTracing, Tracing
from antiphon.workflow_context import WorkflowContext

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
WorkflowT = TypeVar("WorkflowT", bound="Answer | None")
WorkflowFunction = Callable[[CommandT, WorkflowContext], Coroutine[Any, Any, WorkflowT]]


class Handlers:
    """Handlers that apps include: what a module of a larger service registers its own with."""

    def __init__(self) -> None:
        self.commands: list[Handler] = []
        self.events: list[Handler] = []
        self.workflows: list[Workflow] = []
        self.layers: list[Callable[..., Any]] = []  # middleware, the outermost first
        self.closed = False  # it runs, or has been included: what is registered now would never be called

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
            self._still_open(fn)
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
        order: int = 0,
        matching: str | None = None,
        cpu: bool = False,
    ) -> Callable[[EventHandler[EventT, DoneT]], EventHandler[EventT, DoneT]]:
        """Register one of any number of handlers of an event, and of the events that are sub-classes of it.

        `start` is where a new subscription begins. Those of a lower `order` run first, of the same one as declared.
        `matching` takes only events whose name `family.Class` fits, as in "orders.*" or "*.*Failed"; then the
        parameter may be an `Event` of any kind. `cpu` is as of `command`.
        """

        def register(fn: EventHandler[EventT, DoneT]) -> EventHandler[EventT, DoneT]:
            self._still_open(fn)
            policy = Handler(fn, Event, retry, seconds(timeout), start, tuple(needs), rate, cpu=cpu)
            self.events.append(replace(policy, order=order, matching=matching))
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
            self._still_open(fn)
            limits = BundleLimits(size, seconds(within))
            handler = Handler(fn, Event, retry, seconds(timeout), start, tuple(needs), bundle=limits)
            try:
                _ = handler.message
                self.events.append(handler)
            except ConfigurationError:  # no event's: a command's, or a mistake that the check will find
                self.commands.append(replace(handler, kind=Command))
            return fn

        return register

    def workflow(
        self,
        *,
        version: int = 1,
        retry: Retry = Retry(),
        timeout: Duration | None = None,
        escalate: Escalation | None = None,
        signals: Sequence[type[Event]] = (),
    ) -> Callable[[WorkflowFunction[CommandT, WorkflowT]], WorkflowFunction[CommandT, WorkflowT]]:
        """Register a version of the workflow of a command, an `async def`; new instances begin with the newest one.

        A run that ends by an error which `retry` names is undone (its compensations) and begun again. `timeout` is for
        the whole run, `escalate` for every call that says nothing else. Of `signals` that anybody publishes, each
        instance hears those with its correlation id, beside what is sent to it alone.
        """

        def register(fn: WorkflowFunction[CommandT, WorkflowT]) -> WorkflowFunction[CommandT, WorkflowT]:
            self._still_open(fn)
            limit = inf if timeout is None else seconds(timeout)
            workflow = Workflow(fn, Command, retry, limit, version=version, escalate=escalate, signals=tuple(signals))
            self.workflows.append(workflow)
            heard = {handler.event for handler in self.events if isinstance(handler, Hearing)}
            self.events += [hearing(event) for event in signals if event not in heard]
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
        if not any(group.commands or group.events or group.workflows for group in groups):
            wrong.append(f"nothing to include in {getattr(handlers, '__name__', handlers)}: it has no `Handlers`")
        if wrong:
            raise ConfigurationError(wrong)
        self._still_open(handlers)
        for group in groups:
            group.closed = True
            self.commands += group.inside(group.commands)
            self.events += group.inside(group.events)
            self.workflows += group.workflows

    def inside(self, handlers: Iterable[Handler]) -> list[Handler]:
        """The same with the middleware around them."""
        layers = self.layers
        if not layers:
            return list(handlers)
        return [replace(one, fn=around(one.fn, layers)) if one.layered else one for one in handlers]

    def unguarded(self) -> list[str]:
        """Handlers that no middleware would be around, though there is some: one line each."""
        handlers = [*self.commands, *self.events, *self.workflows]
        bare = [one for one in handlers if self.layers and not one.layered and not isinstance(one, Hearing)]
        return passed_by((handler.fn for handler in handlers if handler.layered), self.layers) + [
            f"{handler.name} {handler.apart}, so no middleware is around it: "
            "register the handlers that want some with `Handlers` of their own"
            for handler in bare
        ]

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
        self.metrics: Metrics = NoMetrics()  # those of the process that runs it
        self.tracing: Tracing = NoTracing()  # that of the process that runs it
        self.controls = ControlTable()  # what is declared at run time; its worker keeps it up to date

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """The lanes that its commands declare, most urgent first."""
        return next((handler.message.lanes for handler in (*self.commands, *self.workflows)), ())

    @property
    def newest_workflows(self) -> list[Workflow]:
        """Of each workflow the version that new instances begin with."""
        by_version = sorted(self.workflows, key=lambda workflow: workflow.version)
        return list({workflow.message: workflow for workflow in by_version}.values())

    @property
    def messages(self) -> set[type[Message]]:
        """Every class that a handler takes or returns."""
        answering = (*self.commands, *self.workflows)
        taken = {message for handler in (*answering, *self.events) for message in handler.messages}
        return taken | {handler.returns for handler in answering if handler.returns is not None}

    def check(self) -> None:
        """Every mistake of this app in one ConfigurationError, before anything is read."""
        wrong = [*filter(None, [bad_name(self.service)]), *self.unguarded()]
        for handler in (*self.commands, *self.events, *self.workflows):
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
        if handler.bundle is not None:
            wrong += self._bundle_mistakes(handler)
        if handler.cpu:
            wrong += self._cpu_mistakes(handler, handler.message)
        return wrong if handler.kind is Event else wrong + self._command_mistakes(handler, handler.message)

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
        elif message.lanes != self.lanes:
            head = (*self.commands, *self.workflows)[0].message
            wrong.append(
                f"{message.__name__} and {head.__name__} declare different lanes of {self.service!r}, "
                f"{message.lanes} and {head.lanes}: make one Service(…) and name it in both"
            )
        if isinstance(handler, Workflow):
            return wrong + self._workflow_mistakes(handler, message)
        first = next(other for other in self.commands if other.message is message)
        if first is not handler:
            wrong.append(f"{message.__name__} has two handlers, {first.name} and {handler.name}: a command has one")
        return wrong

    def _workflow_mistakes(self, workflow: Workflow, message: type[Command[Any]]) -> list[str]:
        wrong = [] if workflow.asynchronous else [f"{workflow.name} is a workflow, so it must be an `async def`"]
        if not 1 <= workflow.version <= NEWEST_VERSION:
            wrong.append(f"{workflow.name} has version {workflow.version}; versions go from 1 to {NEWEST_VERSION}")
        if workflow.escalate is not None and isinstance(workflow.escalate.backup, type):
            wrong.append(
                f"{workflow.name} names {workflow.escalate.backup.__name__} as the backup of all its calls: name it "
                "beside the call that it stands in for, or give a function of the command"
            )
        first = next(o for o in self.workflows if o.message is message and o.version == workflow.version)
        if first is not workflow:
            wrong.append(
                f"{message.__name__} has two workflows of version {workflow.version}, {first.name} and "
                f"{workflow.name}; give the newer one the next version"
            )
        keyed = [kind.__name__ for kind in (message, *workflow.signals) if kind.key_field is not None]
        if workflow.signals and keyed:
            wrong.append(
                f"{workflow.name} hears signals by correlation id, so that has to be the key of its command and of its "
                f"signals: {', '.join(keyed)} name another one"
            )
        if any(handler.message is message for handler in self.commands):
            wrong.append(f"{message.__name__} has a handler and a workflow, {workflow.name}; a command has exactly one")
        return wrong
