"""Command messages: one service is told what to do, and says what came of it.

A command is a request as an object: it has an id, a type, typed parameters, and one handler in one service. It can be
kept, sent again, refused, timed and answered. `Command[Quote]` says what the answer is; a wrong answer does not pass
the check at the start. Whoever asks gets the answer, or a `CommandFailed` with a code. The same id again is not carried
out again: its first answer is repeated, so that asking twice is safe when a connection breaks.

Here quotes are asked for, one of them in vain. Run it: python libs/antiphon/examples/command_messages.py
"""

from __future__ import annotations

import asyncio
from tempfile import TemporaryDirectory
from uuid import uuid4

from antiphon import App, Command, CommandFailed, Context, Permanent, Reply, State, SubmitOptions
from antiphon.embedded import Embedded
from antiphon.settings import read_settings

PRICES = {"pump": 120.0, "valve": 15.5}

app = App("sales")


class Quote(Reply):
    """For the asker alone."""

    number: int
    total: float


class MakeQuote(Command[Quote], service="sales", key="customer"):
    customer: str
    part: str
    pieces: int


class Quotes(State):
    """Kept for each customer, because the customer is the key of the command."""

    made: int = 0


@app.command()
def make_quote(command: MakeQuote, ctx: Context) -> Quote:
    if command.part not in PRICES:
        raise Permanent(f"we sell {' and '.join(PRICES)}, and no {command.part}")
    quotes = ctx.state(Quotes)
    quotes.made += 1
    return Quote(number=quotes.made, total=command.pieces * PRICES[command.part])


async def ask(platform: Embedded) -> None:
    async with platform.client() as client:
        pumps = MakeQuote(customer="Ada", part="pump", pieces=2)
        mine = SubmitOptions(command_id=uuid4())
        quote = await client.request(pumps, timeout="20s", options=mine)
        print(f"quote {quote.number}: {quote.total:g} for two pumps")
        again = await client.request(pumps, timeout="20s", options=mine)
        print(f"the same id again: quote {again.number}, not a second one")
        other = await client.request(MakeQuote(customer="Ada", part="valve", pieces=4), timeout="20s")
        print(f"quote {other.number}: {other.total:g} for four valves")
        try:
            await client.request(MakeQuote(customer="Ada", part="piano", pieces=1), timeout="20s")
        except CommandFailed as failure:
            print(f"no quote ({failure.code}): {failure}")


def main() -> None:
    with TemporaryDirectory() as folder:
        settings = read_settings(database_url=f"sqlite:///{folder}/status.sqlite3", partitions=4)
        with Embedded([app], settings) as platform:
            asyncio.run(ask(platform))


if __name__ == "__main__":
    main()
