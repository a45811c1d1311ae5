"""Temporal: `python -m tests.bench.peers.with_temporal ROLE PLAN`, with the roles of `driving.py`.

A call is an activity of a worker in another process, a local step a local activity. The workflow's own clock is that of
the server, in which a step of a millisecond can be seen, and nothing shorter.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from itertools import pairwise
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    from tests.bench.peers.driving import crash, drive, park, resume, stand, until_it_waits, waiting
    from tests.bench.peers.plan import COMMAND, Plan

PATIENCE = timedelta(seconds=10)  # what the server loses under load is tried again after this
DESK, WORKFLOWS = "desk", "workflows"
AT_ONCE = 100  # requests of the client to the server


@activity.defn
async def look(command: dict[str, Any]) -> dict[str, Any]:
    return command


async def _marked(program: str, steps: int) -> list[float]:
    marks = [workflow.now()]
    for _ in range(steps):
        if program == "remote":
            await workflow.execute_activity(look, COMMAND, task_queue=DESK, start_to_close_timeout=PATIENCE)
        else:
            await workflow.execute_local_activity(look, COMMAND, start_to_close_timeout=PATIENCE)
        marks.append(workflow.now())
    return [(later - earlier).total_seconds() * 1e3 for earlier, later in pairwise(marks)]


@workflow.defn
class Steps:
    @workflow.run
    async def run(self, program: str, steps: int) -> list[float]:
        return await _marked(program, steps)


@workflow.defn
class Parked:
    def __init__(self) -> None:
        self._told = False

    @workflow.run
    async def run(self, number: int, steps: int) -> int:
        await _marked("local", steps)
        waiting.add(number)
        await workflow.wait_condition(lambda: self._told)
        return steps

    @workflow.signal
    def go_on(self) -> None:
        self._told = True


class Temporal:
    """Its client, in the process of the workflows' worker."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._number = 0

    async def run(self, program: str, steps: int) -> list[float]:
        """One workflow."""
        self._number += 1
        async with self._turn:
            handle = await self._client.start_workflow(
                Steps.run, args=[program, steps], id=f"steps-{self._number}", task_queue=WORKFLOWS
            )
        milliseconds: list[float] = await handle.result()
        return milliseconds

    async def park(self, number: int, steps: int) -> None:
        """One that waits for a signal."""
        async with self._turn:
            await self._client.start_workflow(
                Parked.run, args=[number, steps], id=f"parked-{number}", task_queue=WORKFLOWS
            )
        await until_it_waits(number)

    async def resume(self, number: int) -> None:
        """Signal it."""
        async with self._turn:
            await self._client.get_workflow_handle(f"parked-{number}").signal(Parked.go_on)

    async def ended(self, number: int) -> None:
        """Its result has come."""
        await self._client.get_workflow_handle(f"parked-{number}").result()


def _worker(client: Client, role: str) -> Worker:
    if role == "desk":
        return Worker(
            client,
            task_queue=DESK,
            activities=[look],
            max_concurrent_activities=500,
            max_concurrent_activity_task_polls=20,
        )
    return Worker(
        client,
        task_queue=WORKFLOWS,
        workflows=[Steps, Parked],
        activities=[look],
        max_cached_workflows=5_000,
        max_concurrent_workflow_tasks=500,
        max_concurrent_local_activities=1_000,
        max_concurrent_workflow_task_polls=20,
    )


async def main(role: str, plan: Plan) -> None:
    """Play the role to its end."""
    client = await Client.connect(plan.addresses["server"])
    engine, worker = Temporal(client), _worker(client, role)
    running: list[asyncio.Task[None]] = []

    async def serve() -> None:
        running.append(asyncio.create_task(worker.run()))

    if role == "resume":
        await resume(engine, plan, serve)
    else:
        await serve()
    if role == "desk":
        await stand()
    elif role in ("remote", "local"):
        await drive(engine, plan, role)
    elif role == "park":
        await park(engine, plan)
    crash()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Plan.from_json(sys.argv[2])))
