"""The measurements, alike for every engine: what is started at once, what the clock runs from, what is divided by what.

The program of an engine plays a role in each of its processes: `desk` serves the handlers that are called by one that
plays `remote`; `local`, `park` and `resume` are alone, the last one with what `park` has left.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from tests.bench.peers.plan import Plan, Sizes, begin, found

waiting: set[int] = set()  # numbers of parked workflows, as these note them in the process that they live in


class Engine(Protocol):
    """What an engine's module gives to be measured.

    A `program` is `remote` (each step is a call to a handler in the other process) or `local` (each step runs in the
    process of the workflow).
    """

    async def run(self, program: str, steps: int) -> list[float]:
        """One workflow to its end; the milliseconds of each step, as the workflow saw them."""

    async def park(self, number: int, steps: int) -> None:
        """Begin a workflow that waits to be told to go on after so many local steps; return when it waits."""

    async def resume(self, number: int) -> None:
        """Tell it."""

    async def ended(self, number: int) -> None:
        """Return when it has ended."""


def percentile(values: Iterable[float], share: float) -> float:
    """The value that this share of them is below."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


async def drive(engine: Engine, plan: Plan, program: str) -> None:
    """All rates and latencies of a program."""
    sizes = plan.sizes
    name = "call" if program == "remote" else "local_step"
    one = "one_call_workflows_per_second" if program == "remote" else "one_step_workflows_per_second"
    await _together(engine, program, sizes.workflows, 1)  # not counted: everything is cold
    await _rates(engine, plan, program, one, (sizes.workflows, 1))
    await _rates(engine, plan, program, f"{program}_steps_per_second_10", sizes.few)
    await _rates(engine, plan, program, f"{program}_steps_per_second", sizes.many)
    await _latency(engine, plan, program, name)


async def _rates(engine: Engine, plan: Plan, program: str, figure: str, size: tuple[int, int]) -> None:
    if plan.wants(figure):
        begin(figure)
        instances, steps = size

        async def once() -> None:
            seconds = await _together(engine, program, instances, steps)
            found(figure, instances * steps / seconds)

        await _repeated(once, plan.sizes)


async def _latency(engine: Engine, plan: Plan, program: str, name: str) -> None:
    p50, p99 = f"{name}_p50_ms", f"{name}_p99_ms"
    if plan.wants(p50, p99):
        begin(p50)

        async def once() -> None:
            milliseconds = await engine.run(program, plan.sizes.calls)
            found(p50, percentile(milliseconds, 0.5))
            found(p99, percentile(milliseconds, 0.99))

        await _repeated(once, plan.sizes)


async def _together(engine: Engine, program: str, instances: int, steps: int) -> float:
    """Seconds from the start of all at once to the end of the last one."""
    begun = time.perf_counter()
    await asyncio.gather(*[engine.run(program, steps) for _ in range(instances)])
    return time.perf_counter() - begun


async def _repeated(once: Callable[[], Awaitable[None]], sizes: Sizes) -> None:
    begun = time.perf_counter()
    for _ in range(sizes.repetitions):
        await once()
        if time.perf_counter() - begun > sizes.patience:
            return


async def park(engine: Engine, plan: Plan) -> None:
    """What parked workflows take up in this process."""
    begin("bytes_per_parked_instance")
    await engine.run("local", 1)
    gc.collect()
    before = resident_bytes()
    await asyncio.gather(*[engine.park(number, plan.sizes.steps_before_parking) for number in range(plan.sizes.parked)])
    gc.collect()
    found("bytes_per_parked_instance", (resident_bytes() - before) / plan.sizes.parked)


async def resume(engine: Engine, plan: Plan, serve: Callable[[], Awaitable[None]]) -> None:
    """Seconds from the start of a new process's service to the end of all parked workflows, which were told before."""
    begin("resumed_1000_seconds")
    numbers = range(plan.sizes.parked)
    await asyncio.gather(*[engine.resume(number) for number in numbers])
    begun = time.perf_counter()
    await serve()
    await asyncio.gather(*[engine.ended(number) for number in numbers])
    found("resumed_1000_seconds", time.perf_counter() - begun)


async def until_it_waits(number: int) -> None:
    """Return once a parked workflow has noted so."""
    while number not in waiting:
        await asyncio.sleep(0.05)


async def stand() -> None:
    """Tell that the service of the handlers stands, and serve until the process is ended."""
    print("{}", flush=True)
    await asyncio.Event().wait()


def crash() -> None:
    """End without shutting anything down, so that what is parked is left as after a kill."""
    sys.stdout.flush()
    os._exit(0)


def resident_bytes() -> int:
    """Memory of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
