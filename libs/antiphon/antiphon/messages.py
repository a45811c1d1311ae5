"""Commands, events and replies: typed, immutable payloads; the class is the contract."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Generic, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from typing_extensions import TypeVar

from antiphon.durations import Duration, seconds
from antiphon.errors import ConfigurationError, InvalidMessage

TYPE_PREFIX = "antiphon"
Priority = Literal["critical", "high", "normal", "low"]
Lane = Literal["critical", "high", "low"]
PRIORITIES: tuple[Priority, ...] = ("critical", "high", "normal", "low")
LANES: tuple[Lane, ...] = ("critical", "high", "low")


@dataclass(frozen=True, slots=True)
class Service:
    """A service as those who send to it have to know it: its name, and its lanes.

    A lane is a command topic of its own for one priority; commands of any other priority lie on the service's one
    topic. ConfigurationError for a lane that cannot be.
    """

    name: str
    lanes: tuple[Lane, ...] = ()

    def __post_init__(self) -> None:
        unknown = [lane for lane in self.lanes if lane not in LANES]
        if unknown or len(set(self.lanes)) < len(self.lanes):
            raise ConfigurationError(
                [f"service {self.name!r} has the lanes {self.lanes}: declare each of {', '.join(LANES)} once at most"]
            )
        object.__setattr__(self, "lanes", tuple(lane for lane in LANES if lane in self.lanes))


class Message(BaseModel):
    """A typed payload: frozen, unknown fields refused."""

    # not `frozen=True` as a class keyword: checkers would then refuse every sub-class
    model_config = ConfigDict(frozen=True, extra="forbid")

    key_field: ClassVar[str | None] = None
    ordered: ClassVar[bool] = False

    @classmethod
    def home(cls) -> str:
        """The service, family or group of replies that the type's name states."""
        raise NotImplementedError

    @classmethod
    def type_name(cls) -> str:
        """The name on the wire, `antiphon.<service or family>.<Class>`: never the module path."""
        return _type_name(cls)


@cache  # asked for with every record that is written
def _type_name(kind: type[Message]) -> str:
    return f"{TYPE_PREFIX}.{kind.home()}.{kind.__name__}"


class Event(Message):
    """A fact. `family` names its topic; a sub-class inherits it. `key` names the field that keeps order.

    `ordered`: behind one that has to wait for long, or was given up, later ones of its key wait too.
    """

    family: ClassVar[str] = ""

    def __init_subclass__(
        cls, *, family: str | None = None, key: str | None = None, ordered: bool | None = None
    ) -> None:
        super().__init_subclass__()
        cls.family = cls.family if family is None else family
        cls.key_field = cls.key_field if key is None else key
        cls.ordered = cls.ordered if ordered is None else ordered

    @classmethod
    def home(cls) -> str:
        return cls.family


def event_name(event: type[Event]) -> str:
    """`family.Class`: the name on the wire without what all of them begin with."""
    return event.type_name().removeprefix(f"{TYPE_PREFIX}.")


def events_below(event: type[Event]) -> list[type[Event]]:
    """This class and all below it that the program has imported and that have a family, by their names."""
    found = {event}
    waiting = [event]
    while waiting:
        new = set(waiting.pop().__subclasses__()) - found
        found |= new
        waiting += new
    return sorted((each for each in found if each.family), key=lambda each: (each.type_name(), each.__module__))


class Reply(Message):
    """An answer for the asker alone; an `Event` that is returned is published as well."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()

    @classmethod
    def home(cls) -> str:
        return "replies"


Answer = Event | Reply
ReplyT = TypeVar("ReplyT", bound="Answer | None", default=None)


class Command(Message, Generic[ReplyT]):
    """An instruction to one service; `Command[X]` is answered with an X, a bare `Command` with nothing.

    The service is named, or given as a `Service` with its lanes; a sub-class inherits both. `ordered`: behind one that
    has to wait for long, or was given up, later ones of its key wait too. `answer_within`: how long a client
    waits that does not say; the deadline of its request is that too.
    """

    service: ClassVar[str] = ""
    lanes: ClassVar[tuple[Lane, ...]] = ()
    answer_within: ClassVar[float] = 30.0

    def __init_subclass__(
        cls,
        *,
        service: str | Service | None = None,
        key: str | None = None,
        ordered: bool | None = None,
        answer_within: Duration | None = None,
    ) -> None:
        super().__init_subclass__()
        if service is not None:
            declared = service if isinstance(service, Service) else Service(service)
            cls.service, cls.lanes = declared.name, declared.lanes
        cls.answer_within = cls.answer_within if answer_within is None else seconds(answer_within)
        cls.key_field = cls.key_field if key is None else key
        cls.ordered = cls.ordered if ordered is None else ordered

    @classmethod
    def home(cls) -> str:
        return cls.service

    @classmethod
    def reply_type(cls) -> type[Answer] | None:
        """The declared reply; a forward reference is resolved in the module of the class that wrote it."""
        for owner in cls.__mro__:
            for base in owner.__bases__:
                if issubclass(base, Command) and (args := base.__pydantic_generic_metadata__["args"]):
                    return _resolve(args[0], owner)
        return None


def _resolve(reply: Any, owner: type) -> type[Answer] | None:
    if isinstance(reply, str):
        scope = vars(sys.modules[owner.__module__])
        if reply not in scope:
            raise ConfigurationError(
                [
                    f"{owner.__qualname__} answers with {reply!r}, "
                    f"which {owner.__module__} does not define: define it first"
                ]
            )
        reply = scope[reply]
    return reply if isinstance(reply, type) and issubclass(reply, Event | Reply) else None


def command_name(message: type[Message]) -> str:
    """The name people use outside of code, in snake case: ProcessData -> process_data."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", message.__name__).lower()


def invalid(message: type[Message], error: ValidationError) -> InvalidMessage:
    """Pydantic's findings as our error: path of each wrong field -> what is wrong with it."""
    fields = {".".join(map(str, found["loc"])) or "(all)": found["msg"] for found in error.errors(include_url=False)}
    return InvalidMessage(message.__name__, fields)
