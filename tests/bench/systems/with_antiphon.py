"""A service of Antiphon as `antiphon run` runs it: Avro, threads, metrics, and in transactions the ledger and state."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import uuid4

from antiphon import App, Context
from antiphon.bootstrap import begin_process, kafka, worker
from antiphon.broker import Outgoing, TopicPlan
from antiphon.catalogue import Catalogue, Installation
from antiphon.codecs.avro import AvroCodec
from antiphon.envelope import Origin, headers
from antiphon.settings import read_settings
from antiphon.telemetry.prometheus import PrometheusMetrics
from tests.bench.cases import Case, Run
from tests.bench.messages import (
    PAYLOAD,
    TRACEPARENT,
    Analyse,
    Analysis,
    AnalysisDone,
    AnalysisWanted,
    Priority,
    correlation_ids,
)
from tests.bench.systems.place import Place

COMMAND = "antiphon-command"


def serve(run: Run, place: Place) -> None:
    """Work until the interpreter ends."""
    settings = read_settings(
        bootstrap_servers=place.bootstrap_servers,
        prefix=place.prefix,
        partitions=run.case.partitions,
        log_level="WARNING",
    )
    begin_process(settings)
    service = worker(_app(run.case), kafka(settings), settings, PrometheusMetrics())
    service.run(threading.Event())


def _app(case: Case) -> App:
    """One service with both handlers; the one that gets no messages costs nothing."""
    app = App("bench", delivery="transactional" if case.transactional else "at_least_once")

    @app.event(start="earliest")
    async def done(wanted: AnalysisWanted, ctx: Context) -> None:
        if case.pause:
            await asyncio.sleep(case.pause)
        ctx.publish(_result(wanted))

    @app.command()
    async def analyse(command: Analyse, ctx: Context) -> AnalysisDone:
        if case.pause:
            await asyncio.sleep(case.pause)
        return _result(command)

    return app


def _result(analysis: Analysis) -> AnalysisDone:
    return AnalysisDone(
        command_id=uuid4(),
        correlation_id=analysis.correlation_id,
        agent=analysis.agent,
        priority=Priority.HIGH,
        created_at=datetime.now(UTC),
        payload=analysis.payload,
    )


def topics(case: Case, place: Place) -> list[TopicPlan]:
    """Everything that the service needs."""
    return Catalogue([_app(case)], Installation(place.names, case.partitions)).plans()


def records(run: Run, place: Place) -> Iterator[Outgoing]:
    """The input; each message has an id of its own, since a ledger takes each id once."""
    codec, now = AvroCodec(), time.time()
    kind = Analyse if run.system == COMMAND else AnalysisWanted
    topic = place.names.commands(Analyse.service) if run.system == COMMAND else place.source
    written: list[tuple[str, bytes]] = []
    for correlation_id in correlation_ids()[: run.case.keys]:
        message = kind(
            command_id=uuid4(),
            correlation_id=correlation_id,
            agent="research-analyst",
            priority=Priority.NORMAL,
            created_at=datetime.fromtimestamp(now, UTC),
            payload=PAYLOAD,
        )
        written.append((str(correlation_id), codec.encode(message)))
    for number in range(run.messages):
        key, value = written[number % len(written)]
        found = headers("client/bench", kind.type_name(), str(uuid4()), now, Origin(key, None, TRACEPARENT))
        yield Outgoing(topic, -1, key.encode(), value, found)
