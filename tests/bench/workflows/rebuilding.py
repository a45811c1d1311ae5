"""How fast histories are fed again: the kernel alone, in this process."""

from __future__ import annotations

import gc
from collections.abc import Iterator

from antiphon.bootstrap import COLLECT
from antiphon.codecs.avro import AvroCodec
from antiphon.workflow.instance import Identity
from antiphon.workflow.kernel import rebuild
from antiphon.workflow.turns import KernelOptions
from tests.bench.workflow_kernel import INSTANCES, CountAll, Counted, best, count_all, history, registered


def rebuilt(repetitions: int) -> Iterator[float]:
    """Turns per second of processor time, of workflows that make one call after another."""
    gc.freeze()  # as every process of a service does
    gc.set_threshold(*COLLECT)
    codec = AvroCodec()
    options = KernelOptions(lambda value, kind: codec.decode(value, b"avro/binary", kind))
    workflow = registered(count_all)
    records = history(workflow, options, codec.encode(CountAll(name="n")), codec.encode(Counted(name="n", total=3)))

    def again() -> int:
        for _ in range(INSTANCES):
            rebuild(workflow, Identity("bench-instance"), options, records)
        return INSTANCES * len(records)

    for _ in range(repetitions):
        yield best(again)
