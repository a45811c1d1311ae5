"""Many at once: what is ready together is handled in one call, and each message still has its own outcome.

A geocoder, a model or a database often takes sixty questions as cheaply as one. A batch handler is given what is ready,
up to `size`, or whatever there is `within` some time of the first one. It answers for each: with the reply, or with
`Failed` and an error, which is retried or given up for that message alone. What takes the processor for long goes
elsewhere: with `cpu=True` a plain function runs in a process of its own, and keeps nobody waiting.

Here ten places are looked up in few calls, and a route through them is computed beside that.
Run it: python libs/antiphon/examples/many_at_once.py
"""

from __future__ import annotations

import asyncio
import os
from itertools import pairwise, permutations
from tempfile import TemporaryDirectory

from antiphon import App, BatchContext, Command, CommandFailed, CpuContext, Failed, Permanent, Reply
from antiphon.client import Client
from antiphon.embedded import Embedded
from antiphon.settings import read_settings

PLACES = {"Ayr": 0, "Bath": 40, "Cork": 10, "Deal": 70, "Ely": 60, "Fife": 5, "Gort": 20, "Hull": 50, "Iver": 45}
app = App("maps")


class Located(Reply):
    mile: int
    company: int  # how many were asked for in the same call


class Locate(Command[Located], service="maps", key="place"):
    place: str


class Routed(Reply):
    miles: int
    process: int


class FindRoute(Command[Routed], service="maps"):
    stops: list[int]


@app.batch(size=5, within="2s")
async def locate(commands: list[Locate], ctx: BatchContext) -> list[Located | Failed]:
    found = [PLACES.get(command.place) for command in commands]  # in truth: one request with all of them
    return [
        Failed(Permanent(f"there is no {command.place} here"))
        if mile is None
        else Located(mile=mile, company=len(found))
        for command, mile in zip(commands, found, strict=True)
    ]


@app.command(cpu=True)
def find_route(command: FindRoute, ctx: CpuContext) -> Routed:
    lengths = (sum(abs(one - other) for one, other in pairwise(order)) for order in permutations(command.stops))
    return Routed(miles=min(lengths), process=os.getpid())


async def ask(client: Client, place: str) -> Located | None:
    try:
        return await client.request(Locate(place=place), timeout="20s")
    except CommandFailed as failure:
        print(f"{failure.code}: {failure}")
        return None


async def plan(platform: Embedded) -> None:
    async with platform.client() as client:
        answers = await asyncio.gather(*(ask(client, place) for place in [*PLACES, "Jura"]))
        located = [answer for answer in answers if answer is not None]
        print(f"{len(located)} places are located, up to {max(answer.company for answer in located)} in one call")
        route = await client.request(FindRoute(stops=[answer.mile for answer in located][:8]), timeout="30s")
        print(f"the shortest way through 8 of them: {route.miles} miles")
        print(f"computed in a process of its own: {route.process != os.getpid()}")


def main() -> None:
    with TemporaryDirectory() as folder:
        settings = read_settings(database_url=f"sqlite:///{folder}/status.sqlite3", partitions=4)
        with Embedded([app], settings) as platform:
            asyncio.run(plan(platform))


if __name__ == "__main__":
    main()
