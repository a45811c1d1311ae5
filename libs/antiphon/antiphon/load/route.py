"""The contract of a route: the way on which the commands of a load reach the platform."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

LABEL = "load"  # the label that tells the commands of a load from others


class NotServed(Exception):
    """One command was not served: refused, lost sight of, or ended otherwise than completed. `kind` says how, in few
    words that are the same for all that went wrong in the same way."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(kind)


@dataclass(frozen=True, slots=True)
class RouteOptions:
    """`wait` is how many seconds a command may take to end; `outcomes=False` waits for its acceptance alone. `run` is
    the value of the label that all commands get."""

    run: str
    wait: float = 60.0
    outcomes: bool = True
    priority: str = "normal"
    tenant: str | None = None


class Route(ABC):
    """Use it as an async context manager; everything is awaited on one event loop."""

    where: str  # for people: an address

    @abstractmethod
    async def schema(self) -> Mapping[str, Any]:
        """The JSON Schema of the parameters. Raises BrokerUnavailable where nobody answers, UnknownType."""

    @abstractmethod
    async def send(self, parameters: Mapping[str, Any], accepted: Callable[[], None]) -> None:
        """Send one; call `accepted` when it is kept, return when it is completed.

        Raises NotServed; MessageError and ConfigurationError for what would go wrong with every one.
        """

    @abstractmethod
    async def close(self) -> None:
        """Let go of all connections."""

    async def __aenter__(self) -> Route:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
