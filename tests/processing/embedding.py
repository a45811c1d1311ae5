"""A service that handles many at once, for the tests of batch handlers."""

from __future__ import annotations

from typing import Any

from antiphon import App, BatchContext, Command, Event, Failed, Permanent, Retry, Retryable


class Embedded(Event, family="embedding", key="name"):
    name: str
    length: int


class Indexed(Event, family="indexing", key="name"):
    name: str
    note: str


class Embed(Command[Embedded], service="embedding", key="name"):
    name: str
    text: str = "text"


class Drop(Command, service="embedding", key="name"):
    name: str


class Embedder:
    """What the calls were given, and what is to go wrong."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.fail: dict[str, list[Exception]] = {}  # by name: the next attempts of it
        self.raises: list[Exception] = []  # by the next calls as a whole
        self.answers: list[Any] = []  # returned by the next calls in place of what is right

    @property
    def texts(self) -> list[str]:
        """Everything that was given, in the order of calls."""
        return [text for call in self.calls for text in call]

    def embed(self, commands: list[Embed], ctx: BatchContext) -> list[Embedded | Failed]:
        """One outcome for each; what fails has sent a note before."""
        self.calls.append([command.text for command in commands])
        if self.raises:
            raise self.raises.pop(0)
        if self.answers:
            return self.answers.pop(0)  # type: ignore[no-any-return]
        return [self._outcome(command, ctx) for command in commands]

    def _outcome(self, command: Embed, ctx: BatchContext) -> Embedded | Failed:
        own = ctx.for_(command)
        own.publish(Indexed(name=command.name, note=f"{command.text} at attempt {own.attempt}"))
        errors = self.fail.get(command.text)
        return Failed(errors.pop(0)) if errors else Embedded(name=command.name, length=len(command.text))


def embedding(embedder: Embedder, *, size: int = 4, within: str = "1s", timeout: str = "60s") -> App:
    """One batch handler of a command that is answered, one of a command that is not."""
    app = App("embedding")

    @app.batch(size=size, within=within, retry=Retry("1s", "2s"), timeout=timeout)
    async def embed(commands: list[Embed], ctx: BatchContext) -> list[Embedded | Failed]:
        return embedder.embed(commands, ctx)

    @app.batch(size=2, within=within)
    def drop(commands: list[Drop], ctx: BatchContext) -> list[Failed | None] | None:
        embedder.calls.append([command.name for command in commands])
        return None

    return app


PASSING, FINAL = Retryable("busy"), Permanent("no such text")
