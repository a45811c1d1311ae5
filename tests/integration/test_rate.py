"""A rate on a real Kafka: three replicas, each with its part of the slices, together keep what the service declares."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest

from antiphon import App, Command, Context, Rate
from antiphon.bootstrap import RunningWorker, installation, kafka, worker
from antiphon.broker import Outgoing
from antiphon.catalogue import Catalogue
from antiphon.codecs.avro import AvroCodec
from antiphon.envelope import Origin, headers
from antiphon.settings import Settings, read_settings
from antiphon.telemetry.prometheus import PrometheusMetrics
from tests.waiting import until

PER_SECOND = 60
PARTITIONS = 6


class Mail(Command, service="mailing", key="name"):
    name: str


def mailing(starts: list[float]) -> App:
    app = App("mailing")

    @app.command(rate=Rate(f"{PER_SECOND}/s"))
    async def mail(command: Mail, ctx: Context) -> None:
        starts.append(time.monotonic())

    return app


@contextlib.contextmanager
def running(settings: Settings, starts: list[float], replicas: int) -> Iterator[list[RunningWorker]]:
    """Replicas of the service, on threads of their own."""
    stop, found, threads = threading.Event(), [], []
    for number in range(replicas):
        own = settings.model_copy(update={"replica": f"mailing-{number}"})
        found.append(worker(mailing(starts), kafka(own), own, PrometheusMetrics()))
        threads.append(threading.Thread(target=found[-1].run, args=(stop,)))
        threads[-1].start()
    try:
        yield found
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)


@pytest.mark.timeout(120)
@pytest.mark.promise("S3-52")
def test_three_replicas_on_kafka_keep_a_rate_within_a_tenth(kafka: str) -> None:
    settings = read_settings(bootstrap_servers=kafka, prefix=f"rate-{uuid4().hex[:8]}.", partitions=PARTITIONS)
    starts: list[float] = []
    catalogue = Catalogue([mailing(starts)], installation(settings))
    make_topics(catalogue, settings)
    with running(settings, starts, 3) as workers:
        until(lambda: [len(found.worker.serving) for found in workers] == [2, 2, 2], "each has its part", 60)
        send(catalogue, settings, PER_SECOND * 12)
        until(lambda: len(starts) > PER_SECOND * 10, "ten seconds' worth of them are through", 40)
    # what had been saved up before is through with the first two seconds' worth
    measured = starts[2 * PER_SECOND : 10 * PER_SECOND]
    assert len(measured) / (measured[-1] - measured[0]) == pytest.approx(PER_SECOND, rel=0.1)


def make_topics(catalogue: Catalogue, settings: Settings) -> None:
    """Everything that the service needs."""
    admin = kafka(settings).admin()
    admin.create_topics(catalogue.plans())
    admin.close()


def send(catalogue: Catalogue, settings: Settings, amount: int) -> None:
    """So many commands of as many keys; returns when they are stored."""
    codec, producer = AvroCodec(), kafka(settings).producer()
    topic = catalogue.installation.names.commands(Mail.service)
    records = []
    for number in range(amount):
        name = f"n{number}"
        found = headers("tests", Mail.type_name(), str(uuid4()), time.time(), Origin(name))
        records.append(Outgoing(topic, -1, name.encode(), codec.encode(Mail(name=name)), found))
    producer.send(records)
    producer.flush(30)
    producer.close()
