"""The service whose lanes are measured: `python -m tests.bench.desk BOOTSTRAP PREFIX`.

It answers each line on its standard input with how many commands it has handled of each priority, as JSON, and ends
when that closes.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from time import time
from uuid import uuid4

from antiphon import App, Command, Context, Reply, Service
from antiphon.bootstrap import begin_process, kafka, worker
from antiphon.broker import Outgoing
from antiphon.codecs.avro import AvroCodec
from antiphon.envelope import Origin, headers
from antiphon.settings import Settings, read_settings
from antiphon.telemetry.prometheus import PrometheusMetrics
from antiphon.topics import TopicNames

DESK = Service("desk", lanes=("critical", "low"))
PAUSE = 0.02  # seconds that the handler waits, as one that asks somebody else does
KEYS = 10_000
PARTITIONS = 4


class Answered(Reply):
    """Says nothing."""


class Answer(Command[Answered], service=DESK, key="customer"):
    """Each customer's one after another."""

    customer: str
    question: str


def desk(handled: Counter[str]) -> App:
    """Counts what it handles by priority."""
    app = App("desk")

    @app.command()
    async def answer(command: Answer, ctx: Context) -> Answered:
        await asyncio.sleep(PAUSE)
        handled[ctx.priority] += 1
        return Answered()

    return app


def settings_of(bootstrap_servers: str, prefix: str) -> Settings:
    """As for `antiphon run`."""
    return read_settings(bootstrap_servers=bootstrap_servers, prefix=prefix, partitions=PARTITIONS, log_level="WARNING")


def backlog(names: TopicNames, amount: int, extra: Mapping[str, str]) -> Iterator[Outgoing]:
    """So many commands with these headers too; each has an id of its own."""
    codec, kind = AvroCodec(), Answer
    topic = names.of_command(kind, extra.get("ce_priority", "normal"))
    more = [(name, value.encode()) for name, value in extra.items()]
    customers = [f"{'-'.join(extra.values()) or 'normal'}-{number}" for number in range(KEYS)]
    values = [codec.encode(Answer(customer=customer, question="Where is my parcel?")) for customer in customers]
    for number in range(amount):
        key = customers[number % KEYS]
        found = headers("client/bench", kind.type_name(), str(uuid4()), time(), Origin(key)) + more
        yield Outgoing(topic, -1, key.encode(), values[number % KEYS], found)


def main() -> None:
    """Serve until whoever started it is done, or gone."""
    settings = settings_of(*sys.argv[1:])
    handled: Counter[str] = Counter()
    threading.Thread(target=_tell, args=(handled,), name="starter", daemon=True).start()
    begin_process(settings)
    worker(desk(handled), kafka(settings), settings, PrometheusMetrics()).run(threading.Event())


def _tell(handled: Counter[str]) -> None:
    for _ in sys.stdin:
        print(json.dumps(dict(handled)), flush=True)
    os._exit(0)  # nothing that this process still holds is needed; its topics are deleted


if __name__ == "__main__":
    main()
