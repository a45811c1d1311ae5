"""Restate: `python -m tests.bench.peers.with_restate ROLE PLAN`, with the roles of `driving.py`.

A workflow is one invocation, a local step `ctx.run_typed`, a call one of a service in another process.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import restate
from hypercorn.asyncio import serve
from hypercorn.config import Config

from tests.bench.peers.driving import crash, drive, park, resume, stand
from tests.bench.peers.plan import COMMAND, Plan

STREAMS = 2_000  # invocations at once
desk = restate.Service("Desk")
workflows = restate.Service("Workflows")
waiting: dict[int, str] = {}  # number of a parked workflow -> what resolves it
servers: list[asyncio.Task[None]] = []  # the loop alone would let go of them


async def look() -> dict[str, Any]:
    """A step."""
    return COMMAND


@desk.handler()
async def answer(ctx: restate.Context, command: dict[str, Any]) -> dict[str, Any]:
    return command


@workflows.handler()
async def remote(ctx: restate.Context, steps: int) -> list[float]:
    marks = [time.perf_counter()]
    for _ in range(steps):
        await ctx.service_call(answer, arg=COMMAND)
        marks.append(time.perf_counter())
    return [(later - earlier) * 1e3 for earlier, later in pairwise(marks)]


@workflows.handler()
async def local(ctx: restate.Context, steps: int) -> list[float]:
    marks = [time.perf_counter()]
    for _ in range(steps):
        await ctx.run_typed("look", look)
        marks.append(time.perf_counter())
    return [(later - earlier) * 1e3 for earlier, later in pairwise(marks)]


@workflows.handler()
async def parked(ctx: restate.Context, wanted: dict[str, int]) -> int:
    for _ in range(wanted["steps"]):
        await ctx.run_typed("look", look)
    key, told = ctx.awakeable()
    waiting[wanted["number"]] = key
    await told
    return wanted["number"]


class Restate:
    """Its ingress, as an HTTP client sees it."""

    def __init__(self, plan: Plan, http: aiohttp.ClientSession) -> None:
        self._http = http
        self._ingress = plan.addresses["ingress"]
        self._keys = Path(plan.directory, "awakeables.json")

    async def run(self, program: str, steps: int) -> list[float]:
        """The answer of one invocation."""
        milliseconds: list[float] = await self._post(f"Workflows/{program}", steps)
        return milliseconds

    async def park(self, number: int, steps: int) -> None:
        """One that waits, sent under an id by which its end can be asked for."""
        headers = {"idempotency-key": str(number)}
        await self._post("Workflows/parked/send", {"number": number, "steps": steps}, headers)
        while number not in waiting:
            await asyncio.sleep(0.02)

    def keep(self) -> None:
        """What resolves those that wait, for the next process."""
        self._keys.write_text(json.dumps(waiting))

    def remember(self) -> None:
        """What the former process has kept."""
        self._known = {int(number): key for number, key in json.loads(self._keys.read_text()).items()}

    async def resume(self, number: int) -> None:
        """Resolve it."""
        await self._post(f"restate/awakeables/{self._known[number]}/resolve", True)

    async def ended(self, number: int) -> None:
        """Attach to the invocation."""
        url = f"{self._ingress}/restate/invocation/Workflows/parked/{number}/attach"
        async with self._http.get(url) as response:
            await _checked(response)

    async def _post(self, path: str, body: object, headers: dict[str, str] | None = None) -> Any:
        async with self._http.post(f"{self._ingress}/{path}", json=body, headers=headers) as response:
            return await _checked(response)


async def _checked(response: aiohttp.ClientResponse) -> Any:
    text = await response.text()
    if response.status >= 300:
        raise RuntimeError(f"{response.url} answered {response.status}: {text}")
    return json.loads(text) if text else None


async def _serve(service: restate.Service, port: str) -> None:
    """Until the process ends; returns when it answers."""
    config = Config()
    config.bind, config.loglevel, config.errorlog = [f"127.0.0.1:{port}"], "ERROR", None
    config.h2_max_concurrent_streams = STREAMS
    servers.append(asyncio.create_task(serve(restate.app([service]), config, shutdown_trigger=asyncio.Event().wait)))
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", int(port))
        except OSError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            return


async def _register(http: aiohttp.ClientSession, plan: Plan, port: str) -> None:
    body = {"uri": f"http://127.0.0.1:{port}", "force": True}
    async with http.post(f"{plan.addresses['admin']}/deployments", json=body) as response:
        await _checked(response)


async def main(role: str, plan: Plan) -> None:
    """Play the role to its end."""
    http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(600))
    engine, port = Restate(plan, http), plan.addresses["desk_port" if role == "desk" else "workflows_port"]
    if role == "resume":
        engine.remember()
        await resume(engine, plan, lambda: _serve(workflows, port))
    else:
        await _serve(desk if role == "desk" else workflows, port)
        await _register(http, plan, port)
    if role == "desk":
        await stand()
    elif role in ("remote", "local"):
        await drive(engine, plan, role)
    elif role == "park":
        await park(engine, plan)
        engine.keep()
    crash()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Plan.from_json(sys.argv[2])))
