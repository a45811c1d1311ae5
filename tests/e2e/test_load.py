"""The whole platform under a load at half of its capacity: no errors, no lag afterwards, no memory that grows."""

from __future__ import annotations

import json
import threading
from contextlib import closing
from pathlib import Path
from statistics import linear_regression
from time import monotonic
from types import TracebackType
from typing import Any, NamedTuple, Self

import pytest

from antiphon.bootstrap import admin, installation
from antiphon.broker import Partition
from deploy.kafka.run import free_port
from tests.e2e.deployment import PARTITIONS, Deployment
from tests.waiting import until

SERVED_BY = ("processors", "projector", "gateway")
LOAD = ("load", "process_data", "--payload", '{"data": ["$n", 2, 3]}', "--json")
LOOK = 0.5  # seconds between two looks at the memory
FIRST = 500  # commands at full speed that show the capacity; caches, pools and statements are filled by them
# Bytes that may stay for each command in a process: a service keeps ids of a day (its ledger), no program the command
# itself. A request with its row, or a delivery with its record, would be more than this.
STAYS = 2_000
# And these by the moment: what refers to itself is collected after each 100,000 allocations (bootstrap.py:COLLECT).
UNCOLLECTED = 12_000_000


class Grown(NamedTuple):
    """What a process has grown by while it was looked at, and its size at the end, in bytes."""

    by: int
    size: int


class Memory:
    """Looks at the resident memory of programs while a block runs."""

    def __init__(self, deployment: Deployment) -> None:
        self._pids = {name: deployment.programs[name].pid for name in SERVED_BY}
        self._seen: dict[str, list[tuple[float, int]]] = {name: [] for name in self._pids}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, name="memory")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(10)

    def _look(self) -> None:
        while not self._stop.wait(LOOK):
            for name, pid in self._pids.items():
                self._seen[name].append((monotonic(), resident(pid)))

    def grown(self) -> dict[str, Grown]:
        """By a straight line through what was seen: one look more or less does not change it much."""
        found = {}
        for name, seen in self._seen.items():
            times, sizes = zip(*seen, strict=True)
            by = linear_regression(times, sizes).slope * (times[-1] - times[0])
            found[name] = Grown(round(by), sizes[-1])
        return found


def resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"process {pid} has no memory: it has ended")


def loaded(deployment: Deployment, *arguments: str) -> dict[str, Any]:
    """The report of `antiphon load`, which has to end well."""
    url = deployment.gateway_url()
    done = deployment.antiphon(*LOAD, "--url", url, *arguments, seconds=150)
    assert (done.code, done.err) == (0, ""), done
    found: dict[str, Any] = json.loads(done.out)
    return found


def lag(deployment: Deployment) -> dict[str, int]:
    """Records of the service's command topic that its group has not committed, and those the read side has not read."""
    names = installation(deployment.settings).names
    partitions = [Partition(names.commands("processors"), number) for number in range(PARTITIONS)]
    with closing(admin(deployment.settings)) as asked:
        ends, committed = (
            asked.ends(partitions).result(10),
            asked.committed(names.group("processors"), partitions).result(10),
        )
    behind = sum(end - (committed[at] or 0) for at, end in ends.items())
    return {"service": behind, "read side": int(deployment.measured("projector", "antiphon_projection_lag_records"))}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is looked up in /proc")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seconds", [20, pytest.param(60, marks=pytest.mark.long)])
def test_at_half_of_its_capacity_nothing_fails_no_lag_stays_and_no_memory_grows(
    kafka: str, tmp_path: Path, seconds: int
) -> None:
    with Deployment(kafka, tmp_path) as deployment:
        deployment.apply_topics()
        deployment.start(*SERVED_BY)
        first = loaded(deployment, "--count", str(FIRST), "--in-flight", "24")
        capacity = first["completed"]["per_second"]
        rate = round(capacity / 2, 1)
        with Memory(deployment) as memory:
            found = loaded(deployment, "--rate", str(rate), "--seconds", str(seconds))
        grown = memory.grown()
        print(f"capacity {capacity}/s; at {rate}/s completed {found['completed']['latency_ms']}; grown {grown}")
        assert found["errors"] == {}
        assert found["sent"] == found["accepted"]["count"] == found["completed"]["count"]
        assert found["sent"] == pytest.approx(rate * seconds, abs=2)
        assert found["completed"]["per_second"] > 0.95 * rate
        until(lambda: lag(deployment) == {"service": 0, "read side": 0}, "no lag is left", 30)
        allowed = UNCOLLECTED + STAYS * found["sent"]
        assert {name: each for name, each in grown.items() if each.by > allowed} == {}, (
            f"after {found['sent']} commands"
        )


@pytest.mark.timeout(120)
def test_a_load_straight_to_the_cluster_is_answered_and_measured(platform: Deployment) -> None:
    words = ("--through", "kafka", "--app", "services", "--count", "200", "--in-flight", "20")
    found = loaded(platform, *words)
    assert (found["sent"], found["errors"], found["where"]) == (200, {}, platform.settings.bootstrap_servers)
    assert found["accepted"]["count"] == found["completed"]["count"] == 200
    assert 0 < found["accepted"]["latency_ms"]["p50"] < found["completed"]["latency_ms"]["p50"]
    nobody = f"127.0.0.1:{free_port()}"
    away = platform.antiphon(*LOAD, *words, bootstrap_servers=nobody)
    assert (away.code, away.out) == (3, "")
    assert nobody in away.err
