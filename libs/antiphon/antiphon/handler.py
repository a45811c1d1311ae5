"""A handler: a function with the policy declared beside it, and what its signature says."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from math import inf, isinf
from typing import Any, Literal, get_type_hints

from antiphon.bundle import BundleLimits, listed, outcome_class
from antiphon.dependency import Dependency
from antiphon.errors import ConfigurationError
from antiphon.escalation import Escalation
from antiphon.messages import Answer, Event, Message, command_name, event_name, events_below
from antiphon.rate import Rate
from antiphon.retry import Retry

Start = Literal["now", "earliest"]
NEWEST_VERSION = 65_535  # of a workflow, as histories store it


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
    bundle: BundleLimits | None = None  # of a batch handler: it takes many messages at once
    cpu: bool = False  # it runs in a process of its own
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
        annotation = self.hints.get(names[0])
        message = annotation if self.bundle is None else listed(annotation)
        bare = message is self.kind and self.matching is None
        if not (isinstance(message, type) and issubclass(message, self.kind) and not bare):
            wanted = f"a {self.kind.__name__} class" if self.bundle is None else "list[...] of one message class"
            raise ConfigurationError([f"{self.name}: annotate {names[0]!r} with {wanted}, not {annotation!r}"])
        return message

    @cached_property
    def messages(self) -> list[type[Any]]:
        """The classes that it is run for: of an event also those below it, as far as the program has imported them.

        Raises ConfigurationError where there are none.
        """
        if self.kind is not Event or self.bundle is not None:
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
    def context(self) -> Any:
        """What the second parameter is annotated with, if it is."""
        return self.hints.get(list(inspect.signature(self.fn).parameters)[1])

    @property
    def hosted(self) -> bool:
        """Whether it is for instances of workflows, which run on the worker's own thread."""
        return False

    @property
    def layered(self) -> bool:
        """Whether middleware can be around it: not around many messages at once, nor in another process."""
        return self.bundle is None and not self.cpu

    @property
    def apart(self) -> str:
        """Why it is not `layered`, in words."""
        return "takes many messages at once or has a process of its own"

    @cached_property
    def returns(self) -> type[Answer] | None:
        """The class of the answer to one message."""
        found = self.hints.get("return")
        if self.bundle is not None:
            found = outcome_class(found, self.name)
        return None if found is type(None) else found


@dataclass(frozen=True)
class Workflow(Handler):
    """A command handler that may wait: an instance stays on the `version` that it began with.

    `timeout` limits a whole run; it is infinite where none is declared.
    """

    version: int = 1
    escalate: Escalation | None = None  # of every call that declares none itself
    signals: tuple[type[Event], ...] = ()  # events of other services that its instances hear

    @property
    def hosted(self) -> bool:
        return True

    @cached_property
    def command_name(self) -> str:
        """The name of its command as people write it."""
        return command_name(self.message)

    @property
    def limit(self) -> float | None:
        """The timeout in seconds; None for none."""
        return None if isinf(self.timeout) else self.timeout

    @property
    def layered(self) -> bool:
        """Middleware is around attempts; a workflow has turns."""
        return False

    @property
    def apart(self) -> str:
        return "is a workflow"


@dataclass(frozen=True)
class Hearing(Handler):
    """What instances of workflows hear: an event that they may wait for, told to those of its correlation id."""

    event: type[Event] = Event

    @cached_property
    def name(self) -> str:
        return f"hear {self.event.__name__}"

    @cached_property
    def message(self) -> type[Any]:
        return self.event

    @cached_property
    def messages(self) -> list[type[Any]]:
        return [self.event]

    @cached_property
    def context(self) -> Any:
        return None

    @cached_property
    def returns(self) -> None:
        return None

    @property
    def hosted(self) -> bool:
        return True

    @property
    def layered(self) -> bool:
        return False


def hearing(event: type[Event]) -> Hearing:
    """Instances of this service's workflows hear this event."""
    return Hearing(_nobody, Event, Retry(), inf, event=event)


def _nobody(*_: object) -> None:
    raise AssertionError("the host tells instances itself")
