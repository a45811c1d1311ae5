"""Antiphon with many instances that live: what they take up, how they change hands, what they cost the others."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import closing

from tests.bench.peers.plan import Sizes
from tests.bench.workflows.apps import TICKS, CallSteps, Park, RunSteps, Tick, Ticked, Wait
from tests.bench.workflows.figures import RunFailed
from tests.bench.workflows.site import SILENCE, Count, Service, Site

TICKING = 10  # instances that have a turn every 100 ms
TICKS_EACH = 6_000  # ten minutes


def parked(site: Site, sizes: Sizes) -> float:
    """Bytes that each parked instance adds to its owner, which has stopped cleanly afterwards."""
    bench = site.start("bench")
    bench.wait_until_ready()
    site.together(RunSteps(steps=1), 1)
    before = bench.used().memory
    _park(site, Park(steps=sizes.steps_before_parking), sizes.parked)
    each = (bench.used().memory - before) / sizes.parked
    bench.terminate()
    bench.wait()
    return each


def resumed(site: Site, sizes: Sizes) -> float:
    """Seconds from the start of a new owner's service to the end of all that `parked` has left, answered meanwhile."""
    with closing(site.count(site.names.commands(Park.service))) as told:
        before = told.read_all()
        site.start("gate").wait_until_ready()
        told.wait_for(before + sizes.parked)
    bench = site.start("bench")
    bench.used()  # it answers as soon as it has loaded what it needs
    begun = time.perf_counter()
    site.wait_for_ends(sizes.parked)
    return time.perf_counter() - begun


def handed_over(site: Site, sizes: Sizes) -> float:
    """Seconds from the last turn of one owner, which is told to stop, to the first one of the next, which stands by."""
    first = site.start("bench")
    first.wait_until_ready()
    _park(site, Park(steps=0), sizes.handed_over)
    with closing(site.count(site.names.events(TICKS))) as ticks:
        site.send(site.commands(Tick(steps=TICKS_EACH), TICKING))
        second = site.start("bench")
        second.wait_until_ready()
        ticks.wait_for(ticks.seen + 2 * TICKING)
        first.terminate()
        seconds = _silence(site, ticks, second)
    first.wait()
    return seconds


def _silence(site: Site, ticks: Count, second: Service) -> float:
    last = time.perf_counter()
    while time.perf_counter() < last + SILENCE:
        for value in ticks.look():
            now = time.perf_counter()
            if site.codec.decode(value, b"avro/binary", Ticked).pid == second.pid:
                return now - last
            last = now
    raise RunFailed(f"the next owner had no turn within {SILENCE:g} s")


def crowded(site: Site, sizes: Sizes) -> Iterator[tuple[str, float]]:
    """µs of processor time of the owner for each call, beside few live instances and beside a crowd; their ratio."""
    site.start("desk").wait_until_ready()
    bench = site.start("bench")
    bench.wait_until_ready()
    few = _costs(site, bench, Park(steps=0), sizes, sizes.live)
    crowd = _costs(site, bench, Park(steps=0), sizes, sizes.crowd - sizes.live)
    yield from (("step_cpu_us_at_1000", cost) for cost in few)
    yield from (("step_cpu_us_at_100000", cost) for cost in crowd)
    yield "step_cost_at_100000_to_1000", statistics.median(crowd) / statistics.median(few)


def _costs(site: Site, bench: Service, park: Park, sizes: Sizes, more: int) -> list[float]:
    """Of a call, once so many more are parked."""
    instances, steps = sizes.many
    _park(site, park, more)
    site.together(CallSteps(steps=steps), instances)  # not counted: what has just been parked is still looked at
    costs = []
    for _ in range(sizes.repetitions):
        before = bench.used().cpu
        site.together(CallSteps(steps=steps), instances)
        costs.append((bench.used().cpu - before) / (instances * steps) * 1e6)
    return costs


def _park(site: Site, command: Park, count: int) -> None:
    """Return when so many more wait at the gate."""
    with closing(site.count(site.names.commands(Wait.service))) as waiting:
        before = waiting.read_all()
        site.send(site.commands(command, count))
        waiting.wait_for(before + count)
