"""The cluster is gone for a while: the gateway keeps what it is given, all stay alive, and nothing happens twice."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from antiphon.broker import Partition, ReaderOptions, Record
from antiphon.brokers.kafka import KafkaBroker
from antiphon.brokers.profiles import KAFKA
from antiphon.codecs.avro import AvroCodec
from antiphon.envelope import Envelope
from antiphon.lifecycle import CommandSettled
from antiphon.topics import TopicNames
from tests.e2e.deployment import PARTITIONS, Deployment, submit
from tests.kafka import LocalKafka
from tests.waiting import until

PROGRAMS = ("processors", "projector", "gateway", "second-gateway")


@pytest.fixture
def alone(private_kafka: LocalKafka, tmp_path: Path) -> Iterator[Deployment]:
    """An installation on a broker that nobody else needs."""
    with Deployment(private_kafka.bootstrap_servers, tmp_path) as deployment:
        deployment.apply_topics()
        deployment.start(*PROGRAMS)
        yield deployment


@pytest.mark.timeout(180)
@pytest.mark.promise("S0-45")
def test_commands_that_came_while_the_broker_was_away_are_carried_out_once(
    alone: Deployment, private_kafka: LocalKafka
) -> None:
    """Each of two gateways is given one; the second dies before the broker is back, and the first keeps its word."""
    with alone.http() as http, alone.http("second-gateway") as second, ThreadPoolExecutor() as threads:
        earlier = ask(http, 1)
        wait_for(http, earlier.headers["location"], "completed")
        private_kafka.kill()
        refusals = list(threads.map(ask, (http, second), (2, 3)))
        kept = [kept_command(http, each) for each in refusals]
        assert http.get(earlier.headers["location"]).json()["status"] == "completed"
        assert [alone.probe(name, "/livez") for name in PROGRAMS] == [200] * len(PROGRAMS)
        assert http.get("/livez").status_code == 200
        alone.programs["second-gateway"].kill()
        private_kafka.start()
        means = [mean(wait_for(http, f"/commands/{id_}", "completed")) for id_ in kept]
        assert means == [2, 3]
        again = ask(http, 2)
        assert (again.status_code, again.json()["command_id"]) == (202, kept[0])
        last = ask(http, 4)
        wait_for(http, last.headers["location"], "completed")
    assert sorted(settled(alone)) == sorted([earlier.json()["command_id"], *kept, last.json()["command_id"]])


def ask(gateway: httpx.Client, number: int) -> httpx.Response:
    """Submit the one command of this number; the mean that it answers with is the number."""
    key = {"Idempotency-Key": f"order-{number}"}
    return submit(gateway, "process_data", {"data": [number - 1, number + 1]}, **key)


def mean(found: dict[str, Any]) -> float:
    """What a completed command of these has found out."""
    result: float = found["result"]["response"]["columns"]["data"]["mean"]
    return result


def kept_command(http: httpx.Client, refusal: httpx.Response) -> str:
    """The id of a command that cannot be produced just now; AssertionError unless it is kept, and that is said."""
    assert (refusal.status_code, refusal.headers["content-type"]) == (503, "application/problem+json")
    assert int(refusal.headers["retry-after"]) > 0
    told = re.search(r"/commands/([0-9a-f-]{36})", refusal.json()["next"])
    assert told is not None
    found = http.get(told[0]).json()
    assert (found["status"], found["result"]) == ("pending", None)
    return told[1]


def wait_for(http: httpx.Client, location: str, status: str) -> dict[str, Any]:
    """The command once it has this status; AssertionError if it has not within a minute."""
    found: dict[str, Any] = {}

    def there() -> bool:
        found.update(http.get(location, params={"wait": "5s"}).json())
        return bool(found["status"] == status)

    until(there, f"{location} is {status}", 60)
    return found


def settled(deployment: Deployment) -> list[str]:
    """The ids of all commands that were settled, each as often as that has happened."""
    lifecycle = TopicNames(deployment.settings.prefix).lifecycle
    broker, codec = KafkaBroker(KAFKA, deployment.settings.bootstrap_servers), AvroCodec()
    with closing(broker.admin()) as admin, closing(broker.reader(ReaderOptions("tests"))) as reader:
        ends = admin.ends([Partition(lifecycle, number) for number in range(PARTITIONS)]).result(10)
        reader.assign(dict.fromkeys(ends, 0))
        records: list[Record] = []

        def all_are_read() -> bool:
            records.extend(reader.poll(100, 0.1))
            return all(reader.position(partition) >= end for partition, end in ends.items())

        until(all_are_read, "the lifecycle of all commands is read", 30)
    found = [record for record in records if Envelope(record).type == CommandSettled.type_name()]
    return [codec.decode(record.value, None, CommandSettled).command_id for record in found]
