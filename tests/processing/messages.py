"""Messages and services for the worker's tests."""

from __future__ import annotations

from antiphon import App, Command, Context, Event, Permanent, Reply, Retry, State
from tests.processing.world import World


class Counted(Event, family="counting", key="name"):
    name: str
    total: int


class Count(Command[Counted], service="counting", key="name"):
    name: str
    amount: int = 1


class Looked(Reply):
    total: int


class Look(Command[Looked], service="counting", key="name"):
    name: str


class Forget(Command, service="counting", key="name"):
    name: str


class Total(State):
    total: int = 0


class Calls:
    """What handlers saw, and when they are to fail."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.fail: list[Exception] = []

    def note(self, what: str) -> None:
        self.seen.append(what)
        if self.fail:
            raise self.fail.pop(0)


def counting(calls: Calls | None = None) -> App:
    """A service that keeps a total per name."""
    calls = calls or Calls()
    app = App("counting")

    @app.command(retry=Retry("1s", "2s"))
    async def count(command: Count, ctx: Context) -> Counted:
        calls.note(f"{command.name}+{command.amount}")
        if command.amount < 0:
            raise Permanent(f"amount is {command.amount}; it must be positive")
        state = ctx.state(Total)
        state.total += command.amount
        return Counted(name=command.name, total=state.total)

    @app.command()
    def look(command: Look, ctx: Context) -> Looked:
        return Looked(total=ctx.state(Total).total)

    @app.command()
    async def forget(command: Forget, ctx: Context) -> None:
        ctx.state(Total).total = 0

    return app


def totals(world: World) -> list[int]:
    """What was counted, event by event, partition after partition."""
    return [event.total for event in world.messages(world.names.events("counting"), Counted)]
