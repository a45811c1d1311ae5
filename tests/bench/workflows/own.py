"""Antiphon measured: two services as `antiphon run` starts them, on a Kafka of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from antiphon import Command
from tests.bench.peers.driving import percentile
from tests.bench.peers.plan import Plan
from tests.bench.workflows.apps import CallSteps, Ended, RecordValues, RunSteps
from tests.bench.workflows.figures import ANTIPHON, Figure
from tests.bench.workflows.living import crowded, handed_over, parked, resumed
from tests.bench.workflows.programs import Watcher
from tests.bench.workflows.rebuilding import rebuilt
from tests.bench.workflows.site import Site
from tests.kafka import shared_kafka

PARTITIONS = 4
MORE = 10  # times the workflows of one step that a peer gets, or they would be over before they can be measured

# figure -> its program, and which of the sizes
_RATES: dict[str, tuple[Callable[[int], Command[Any]], str]] = {
    "one_call_workflows_per_second": (lambda steps: CallSteps(steps=steps), "one"),
    "remote_steps_per_second_10": (lambda steps: CallSteps(steps=steps), "few"),
    "remote_steps_per_second": (lambda steps: CallSteps(steps=steps), "many"),
    "one_step_workflows_per_second": (lambda steps: RunSteps(steps=steps), "one"),
    "local_steps_per_second_10": (lambda steps: RunSteps(steps=steps), "few"),
    "local_steps_per_second": (lambda steps: RunSteps(steps=steps), "many"),
    "recorded_values_per_second_10": (lambda steps: RecordValues(steps=steps), "few"),
    "recorded_values_per_second": (lambda steps: RecordValues(steps=steps), "many"),
}
_LATENCIES: dict[str, Callable[[int], Command[Ended]]] = {
    "call": lambda steps: CallSteps(steps=steps, timed=True),
    "local_step": lambda steps: RunSteps(steps=steps, timed=True),
}


def measure(plan: Plan, directory: Path, watcher: Watcher) -> None:
    """All of Antiphon's figures. Raises RunFailed; BrokerUnavailable or BrokerFailed where there is no Kafka."""
    if plan.wants("rebuild_turns_per_second"):
        watcher.begin("rebuild_turns_per_second")
        for rate in rebuilt(plan.sizes.repetitions):
            watcher.found(Figure(ANTIPHON, "rebuild_turns_per_second", rate))
    with shared_kafka(directory / "kafka") as servers:

        def site(partitions: int = PARTITIONS) -> Site:
            return Site(servers, directory, partitions)

        _throughput(plan, site, watcher)
        if plan.wants("bytes_per_parked_instance", "resumed_1000_seconds"):
            with site() as one:
                watcher.begin("bytes_per_parked_instance")
                watcher.found(Figure(ANTIPHON, "bytes_per_parked_instance", parked(one, plan.sizes)))
                if plan.wants("resumed_1000_seconds"):
                    watcher.begin("resumed_1000_seconds")
                    watcher.found(Figure(ANTIPHON, "resumed_1000_seconds", resumed(one, plan.sizes)))
        if plan.wants("handover_10000_seconds"):
            watcher.begin("handover_10000_seconds")
            with site(1) as one:
                watcher.found(Figure(ANTIPHON, "handover_10000_seconds", handed_over(one, plan.sizes)))
        if plan.wants("step_cpu_us_at_1000", "step_cpu_us_at_100000", "step_cost_at_100000_to_1000"):
            watcher.begin("step_cost_at_100000_to_1000")
            with site() as one:
                for figure, value in crowded(one, plan.sizes):
                    watcher.found(Figure(ANTIPHON, figure, value))


def _throughput(plan: Plan, site: Callable[[], Site], watcher: Watcher) -> None:
    rates = {figure: each for figure, each in _RATES.items() if plan.wants(figure)}
    latencies = {name: each for name, each in _LATENCIES.items() if plan.wants(f"{name}_p50_ms", f"{name}_p99_ms")}
    sizes = {"one": (MORE * plan.sizes.workflows, 1), "few": plan.sizes.few, "many": plan.sizes.many}
    if not rates and not latencies:
        return
    with site() as one:
        for app in ("desk", "bench"):
            one.start(app).wait_until_ready()
        for warm in (CallSteps(steps=1), RunSteps(steps=1)):
            one.together(warm, plan.sizes.workflows)  # not counted: everything is cold
        for figure, (program, size) in rates.items():
            watcher.begin(figure)
            instances, steps = sizes[size]
            for _ in range(plan.sizes.repetitions):
                seconds = one.together(program(steps), instances)
                watcher.found(Figure(ANTIPHON, figure, instances * steps / seconds))
        for name, timed in latencies.items():
            watcher.begin(f"{name}_p50_ms")
            for _ in range(plan.sizes.repetitions):
                milliseconds = one.ask(timed(plan.sizes.calls)).milliseconds
                watcher.found(Figure(ANTIPHON, f"{name}_p50_ms", percentile(milliseconds, 0.5)))
                watcher.found(Figure(ANTIPHON, f"{name}_p99_ms", percentile(milliseconds, 0.99)))
