"""A bus in one process: commands, events and their handlers as a library, with no broker and nothing to set up.

`Platform` runs apps on an embedded broker for as long as its `with` lasts. A command has one handler and is executed
for its typed reply, or for the error it failed with; an event is heard by everybody who subscribes to it, to a class
above it or to a pattern of names, in the declared order. What a failed handler has published nobody hears. Middleware
is around every attempt. Messages are immutable and checked when they are made; parts of them may be value objects.
The same apps run on Kafka as they are: what is tried out here is not written again.

Here a shop takes two orders and refuses a third. Run it: python libs/antiphon/examples/in_process_bus.py
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from antiphon import App, Command, CommandFailed, Context, Event, Handlers, Permanent, Platform, State


class Money(BaseModel):
    """A value object: equal to any other of the same amount, and never changed."""

    model_config = ConfigDict(frozen=True)

    cents: int = Field(ge=0)

    def __str__(self) -> str:
        return f"{self.cents / 100:.2f}"


class OrderChanged(Event, family="orders", key="order"):
    order: str


class OrderPlaced(OrderChanged):
    price: Money


class OrderRefused(OrderChanged):
    why: str


class PlaceOrder(Command[OrderPlaced], service="shop", key="order"):
    order: str
    price: Money


class Seen(State, ttl="1d"):
    """What the ledger keeps of each order, for a day."""

    changes: int = 0


shop = Handlers()  # a module of its own would have one, and an app includes them all: `app.include("shop")`
ledger = Handlers()


@shop.command()
def place(command: PlaceOrder, ctx: Context) -> OrderPlaced:
    if command.price.cents > 100_000:
        ctx.publish(OrderRefused(order=command.order, why="nobody hears of this: the attempt fails"))
        raise Permanent(f"nobody pays {command.price} at once")
    return OrderPlaced(order=command.order, price=command.price)


@shop.middleware
def shout(message: Any, ctx: Context, call_next: Callable[[], Any]) -> Any:
    print(f"> {type(message).__name__}")
    try:
        return call_next()
    finally:
        print(f"< {type(message).__name__}")


@ledger.event(order=2)
def count(event: OrderChanged, ctx: Context) -> None:
    seen = ctx.state(Seen)
    seen.changes += 1
    print(f"  {type(event).__name__} is change {seen.changes} of {event.order}")


@ledger.event(order=1, matching="orders.*Placed")
def thank(event: OrderPlaced, ctx: Context) -> None:
    print(f"  thanks for {event.order}, {event.price}")


def apps() -> list[App]:
    """Two services."""
    selling, counting = App("shop"), App("ledger")
    selling.include(shop)
    counting.include(ledger)
    return [selling, counting]


def main() -> None:
    with Platform(*apps()).sync() as bus:
        for order, cents in (("o-1", 250), ("o-2", 99_900), ("o-3", 250_000)):
            try:
                placed = bus.execute(PlaceOrder(order=order, price=Money(cents=cents)), timeout="20s")
                bus.settled()  # an answer does not wait for those who hear of the event
                print(f"{placed.order} is placed for {placed.price}")
            except CommandFailed as failed:
                print(f"{order} is not: {failed}")
        bus.publish(OrderRefused(order="o-1", why="out of stock"))
    try:
        PlaceOrder(order="o-4", price=Money(cents=-1))
    except ValidationError as invalid:
        print(f"o-4 is not even sent: {invalid.errors()[0]['msg']}")


if __name__ == "__main__":
    main()
