"""`python -m tests.bench.workflow_kernel`: what a turn of a workflow costs, taken for the first time and fed again.

No broker. Processor time, so that others on the machine count little; the best of many short rounds, beside a bare
generator that is sent as many values.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Iterable
from time import process_time
from typing import Any

from antiphon import App, Command, Reply, WorkflowContext
from antiphon.codecs.avro import AvroCodec
from antiphon.handler import Workflow
from antiphon.workflow import turns
from antiphon.workflow.instance import Identity
from antiphon.workflow.kernel import advance, open_instance, rebuild
from antiphon.workflow.turns import KernelOptions

CALLS = 20  # of each instance, one after another
INSTANCES = 50
ROUNDS = 100


class Counted(Reply):
    name: str
    total: int


class Count(Command[Counted], service="bench"):
    name: str
    amount: int


class CountAll(Command[Counted], service="bench"):
    name: str


async def count_all(command: CountAll, ctx: WorkflowContext) -> Counted:
    """One call after another."""
    total = 0
    for _ in range(CALLS):
        total = (await ctx.call(Count(name="n", amount=total))).total
    return Counted(name="n", total=total)


async def run_all(command: CountAll, ctx: WorkflowContext) -> Counted:
    """One local step after another."""
    total = 0
    for _ in range(CALLS):
        total = await ctx.run("count", lambda: 1)
    return Counted(name="n", total=total)


def registered(fn: Callable[[CountAll, WorkflowContext], Coroutine[Any, Any, Counted]]) -> Workflow:
    app = App("bench")
    app.workflow(version=1)(fn)
    return app.workflows[0]


def history(workflow: Workflow, options: KernelOptions, start: bytes, reply: bytes) -> list[bytes]:
    """A whole run; every call is answered alike."""
    instance = open_instance(workflow, Identity("bench-instance"), options)
    turn = advance(instance, turns.start(1.0, start, "c"))
    records = [turn.record or b""]
    while turn.outcome is None:
        (number,) = instance.waiting
        turn = advance(instance, turns.reply(2.0, number, reply))
        records.append(turn.record or b"")
    return records


def bare() -> Generator[bytes, bytes, None]:
    """As little as a coroutine can do."""
    value = b""
    while True:
        value = yield value


def best(work: Callable[[], int]) -> float:
    """Turns per second of processor time, in the best of the rounds."""
    found = 0.0
    for _ in range(ROUNDS):
        began = process_time()
        turns_taken = work()
        found = max(found, turns_taken / (process_time() - began))
    return found


def send_bare(values: Iterable[bytes]) -> int:
    """Turns of the bare generator."""
    generator, sent = bare(), 0
    next(generator)
    for _ in range(INSTANCES):
        for value in values:
            generator.send(value)
            sent += 1
    return sent


def measure(name: str, workflow: Workflow, options: KernelOptions, start: bytes, reply: bytes) -> None:
    """Print one line."""
    records = history(workflow, options, start, reply)
    size = sum(map(len, records)) / len(records)

    def first_time() -> int:
        return sum(len(history(workflow, options, start, reply)) for _ in range(INSTANCES))

    def again() -> int:
        for _ in range(INSTANCES):
            rebuild(workflow, Identity("bench-instance"), options, records)
        return INSTANCES * len(records)

    loop, advanced, rebuilt = best(lambda: send_bare(records)), best(first_time), best(again)
    print(
        f"{name:12} advance {advanced:>9,.0f} turns/s ({1e6 / advanced:.1f} µs), rebuild {rebuilt:>9,.0f} turns/s "
        f"({1e6 / rebuilt:.1f} µs), bare generator {loop:,.0f}/s: 1/{loop / advanced:.0f} and 1/{loop / rebuilt:.0f}; "
        f"{size:.0f} bytes a record"
    )


def main() -> None:
    """Measure calls with Avro and local steps with JSON."""
    codec = AvroCodec()
    options = KernelOptions(lambda value, kind: codec.decode(value, b"avro/binary", kind))
    start = codec.encode(CountAll(name="n"))
    measure("calls", registered(count_all), options, start, codec.encode(Counted(name="n", total=3)))
    measure("local steps", registered(run_all), options, start, b"1")


if __name__ == "__main__":
    main()
