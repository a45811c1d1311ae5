"""DBOS: `python -m tests.bench.peers.with_dbos ROLE PLAN`, with the roles of `driving.py`.

A local step is a step; a call is a workflow in a queue that the other process listens to, and waiting for its result.
DBOS polls for such results, so they are asked for the less often the more of them there are.
"""

from __future__ import annotations

import asyncio
import sys
import time
from itertools import pairwise
from typing import Any

from dbos import DBOS, DBOSClient, SetWorkflowID

from tests.bench.peers.driving import crash, drive, park, resume, stand, until_it_waits, waiting
from tests.bench.peers.plan import COMMAND, Plan

QUEUE = "desk"
LOOKS = 0.01  # seconds between two looks into the queue


@DBOS.step()
async def look(command: dict[str, Any]) -> dict[str, Any]:
    return command


@DBOS.workflow()
async def answer(command: dict[str, Any]) -> dict[str, Any]:
    return command


@DBOS.workflow()
async def local(steps: int, patience: float) -> list[float]:
    marks = [time.perf_counter()]
    for _ in range(steps):
        await look(COMMAND)
        marks.append(time.perf_counter())
    return [(later - earlier) * 1e3 for earlier, later in pairwise(marks)]


@DBOS.workflow()
async def remote(steps: int, patience: float) -> list[float]:
    marks = [time.perf_counter()]
    for _ in range(steps):
        handle = await DBOS.enqueue_workflow_async(QUEUE, answer, COMMAND)
        await handle.get_result(polling_interval_sec=patience)
        marks.append(time.perf_counter())
    return [(later - earlier) * 1e3 for earlier, later in pairwise(marks)]


@DBOS.workflow()
async def parked(number: int, steps: int) -> int:
    for _ in range(steps):
        await look(COMMAND)
    waiting.add(number)
    await DBOS.recv_async(timeout_seconds=3600)
    return number


class Dbos:
    """Workflows in this process."""

    def __init__(self, plan: Plan) -> None:
        self._database = plan.addresses["database"]
        self._at_once = 0
        self._client: Any = None

    async def run(self, program: str, steps: int) -> list[float]:
        """One workflow; its calls look for their results 500 times a second, all that are under way together."""
        self._at_once += 1
        await asyncio.sleep(0)  # those that begin together are counted first
        try:
            workflow = remote if program == "remote" else local
            patience = max(LOOKS, self._at_once / 500)
            handle = await DBOS.start_workflow_async(workflow, steps, patience)
            milliseconds: list[float] = await handle.get_result()
            return milliseconds
        finally:
            self._at_once -= 1

    async def park(self, number: int, steps: int) -> None:
        """One that waits for a message."""
        with SetWorkflowID(str(number)):
            await DBOS.start_workflow_async(parked, number, steps)
        await until_it_waits(number)

    async def resume(self, number: int) -> None:
        """Send the message, from outside."""
        if self._client is None:
            self._client = DBOSClient(system_database_url=self._database)
        await self._client.send_async(str(number), "go on")

    async def ended(self, number: int) -> None:
        """Its result has come."""
        handle = await DBOS.retrieve_workflow_async(str(number))
        await handle.get_result(polling_interval_sec=1.0)


async def main(role: str, plan: Plan) -> None:
    """Play the role to its end."""
    DBOS(
        config={
            "name": "bench",
            "system_database_url": plan.addresses["database"],
            "application_version": "1",
            "executor_id": "desk" if role == "desk" else "workflows",  # who recovers whose
            "log_level": "ERROR",
        }
    )
    DBOS.listen_queues([QUEUE] if role == "desk" else [])
    engine = Dbos(plan)
    if role == "resume":
        await resume(engine, plan, _launch)
    else:
        await _launch()
    if role == "desk":
        await DBOS.register_queue_async(QUEUE, polling_interval_sec=LOOKS)
        await stand()
    elif role in ("remote", "local"):
        await drive(engine, plan, role)
    elif role == "park":
        await park(engine, plan)
    crash()


async def _launch() -> None:
    DBOS.launch()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Plan.from_json(sys.argv[2])))
