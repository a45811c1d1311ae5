"""Pipes and filters: each stage does one thing, and hands on what comes of it.

A filter is a service with one command; the pipe to the next is that one's command topic. `ctx.send` leaves with the
success of the attempt: input taken, output handed on and state are one transaction, so that between two stages nothing
is lost or doubled, whichever crashes. Stages scale and fail by themselves; work piles up before a slow one, in order of
its key, and runs on when it is back. Everything that came from one letter shares its correlation id.

Here letters are tidied, rid of addresses, and counted. Run it: python libs/antiphon/examples/pipes_and_filters.py
"""

from __future__ import annotations

import asyncio
import re
from queue import Queue
from tempfile import TemporaryDirectory

from antiphon import App, Command, Context, Event, SubmitOptions
from antiphon.embedded import Embedded
from antiphon.settings import read_settings

LETTERS = ["  Dear   all,\nwrite to ada@example.org  ", "No  address here."]


class Tidy(Command, service="tidying"):
    text: str


class Conceal(Command, service="concealing"):
    text: str


class Count(Command, service="counting"):
    text: str


class Counted(Event, family="letters"):
    """What comes out of the last stage, for whoever listens."""

    text: str
    words: int


def stages(out: Queue[str]) -> list[App]:
    """Three filters and, at the end of the pipe, a listener that writes to `out`."""
    tidying, concealing, counting, listening = map(App, ("tidying", "concealing", "counting", "listening"))

    @tidying.command()
    def tidy(command: Tidy, ctx: Context) -> None:
        ctx.send(Conceal(text=" ".join(command.text.split())))

    @concealing.command()
    def conceal(command: Conceal, ctx: Context) -> None:
        ctx.send(Count(text=re.sub(r"\S+@\S+", "<address>", command.text)))

    @counting.command()
    def count(command: Count, ctx: Context) -> None:
        ctx.publish(Counted(text=command.text, words=len(command.text.split())))

    @listening.event(start="earliest")
    def on_counted(event: Counted, ctx: Context) -> None:
        out.put(f"{ctx.correlation_id}: {event.words} words in {event.text!r}")

    return [tidying, concealing, counting, listening]


async def submit(platform: Embedded) -> None:
    async with platform.client() as client:
        for number, letter in enumerate(LETTERS, 1):
            print(f"in   letter-{number}: {letter!r}")
            await client.submit(Tidy(text=letter), SubmitOptions(correlation_id=f"letter-{number}"))


def main() -> None:
    out: Queue[str] = Queue()
    with TemporaryDirectory() as folder:
        settings = read_settings(database_url=f"sqlite:///{folder}/status.sqlite3", partitions=4)
        with Embedded(stages(out), settings) as platform:
            asyncio.run(submit(platform))
            for line in sorted(out.get(timeout=20) for _ in LETTERS):
                print(f"out  {line}")


if __name__ == "__main__":
    main()
