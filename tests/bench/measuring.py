"""One measurement: topics of its own, the input written, a process for the system, and somebody who watches its output.

Every system is watched from outside in the same way: the clock runs from the moment the first committed outputs are
seen to the moment the last is, and what was seen at first is not counted. So start-up costs nobody anything, and a
transaction counts when it is committed.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from confluent_kafka import Consumer, TopicPartition

from antiphon.broker import Broker
from antiphon.brokers.kafka import KafkaBroker
from antiphon.brokers.profiles import KAFKA
from tests.bench.cases import Run
from tests.bench.systems import module_of
from tests.bench.systems.place import Place

Progress = Callable[[int], None]
_LOOK = 0.005  # seconds between two looks at the outputs
_SILENCE = 60.0  # seconds without an output after which a run has failed


class RunFailed(RuntimeError):
    """A system did not do its work; the message ends with what its process said."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Messages per second of wall time, and microseconds of processor time (all threads of the process) of each."""

    messages_per_second: float
    cpu_us_per_message: float


@dataclass(frozen=True, slots=True)
class Bench:
    """A cluster to measure on, and a folder for what the processes say."""

    bootstrap_servers: str
    directory: Path

    def measure(self, run: Run, progress: Progress) -> Figures:
        """Do it once; `progress` is told how many outputs there are. Raises RunFailed."""
        place = Place(self.bootstrap_servers, f"bench-{uuid4().hex[:8]}.")
        broker = KafkaBroker(KAFKA, self.bootstrap_servers)
        with _topics(broker, run, place):
            _write_input(broker, run, place)
            with _Measured(run, place, self.directory / f"{run.case.name}-{run.system}.log") as measured:
                return _watch(run, place, measured, progress)


@contextlib.contextmanager
def _topics(broker: Broker, run: Run, place: Place) -> Iterator[None]:
    plans = module_of(run.system).topics(run.case, place)
    admin = broker.admin()
    admin.create_topics(plans)
    try:
        yield
    finally:
        admin.delete_topics([plan.name for plan in plans])
        admin.close()


def _write_input(broker: Broker, run: Run, place: Place) -> None:
    producer = broker.producer()
    producer.send(list(module_of(run.system).records(run, place)))
    producer.flush(60.0)
    producer.close()


class _Measured:
    """The process of the system; it ends with the block."""

    def __init__(self, run: Run, place: Place, log: Path) -> None:
        self._arguments = [run.system, run.case.name, str(run.messages), *place]
        self._log = log

    def __enter__(self) -> _Measured:
        command = [sys.executable, "-m", "tests.bench.child", *self._arguments]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def check(self) -> None:
        """RunFailed if it has ended."""
        if self._process.poll() is not None:
            raise self.failed(f"ended with exit code {self._process.returncode}")

    def failed(self, how: str) -> RunFailed:
        """What happened, with the last lines of its log."""
        said = self._log.read_text(errors="replace").splitlines()[-20:]
        return RunFailed("\n".join([f"{' '.join(self._arguments[:2])} {how}", *said, f"(all of it: {self._log})"]))

    def cpu_seconds(self) -> float:
        """What all its threads have used so far."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print("cpu", file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise self.failed("ended before it was measured")
        return float(answer)


def _watch(run: Run, place: Place, measured: _Measured, progress: Progress) -> Figures:
    outputs = _Outputs(run, place)
    with contextlib.closing(outputs):
        first = _wait_for(1, outputs, measured, progress)
        begun, cpu_begun = time.perf_counter(), measured.cpu_seconds()
        last = _wait_for(run.messages, outputs, measured, progress)
        seconds, cpu_seconds = time.perf_counter() - begun, measured.cpu_seconds() - cpu_begun
    if last > run.messages:
        raise measured.failed(f"wrote {last} outputs for {run.messages} messages")
    counted = last - first
    return Figures(counted / seconds, cpu_seconds / counted * 1e6)


def _wait_for(count: int, outputs: _Outputs, measured: _Measured, progress: Progress) -> int:
    """How many outputs there are once there are so many."""
    until = time.monotonic() + _SILENCE
    while outputs.seen < count:
        if outputs.look():
            progress(outputs.seen)
            until = time.monotonic() + _SILENCE
        elif time.monotonic() > until:
            raise measured.failed(f"has written {outputs.seen} outputs, and none for {_SILENCE:g} s")
        else:
            measured.check()
    return outputs.seen


class _Outputs:
    """Counts the committed records of the output."""

    def __init__(self, run: Run, place: Place) -> None:
        self.seen = 0
        self._client = Consumer(
            {
                "bootstrap.servers": place.bootstrap_servers,
                "group.id": f"{place.prefix}watcher",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 10,
            }
        )
        self._client.assign([TopicPartition(place.target, number, 0) for number in range(run.case.partitions)])

    def look(self) -> int:
        """How many have come."""
        found = sum(1 for message in self._client.consume(10_000, _LOOK) if message.error() is None)
        self.seen += found
        return found

    def close(self) -> None:
        """Stop."""
        self._client.close()
