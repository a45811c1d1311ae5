"""FastStream on its aiokafka client, at least once: one message after the other, or in batches."""

from __future__ import annotations

import asyncio
from collections import Counter
from importlib import import_module
from typing import Any

from tests.bench.cases import BATCH, Case, Run
from tests.bench.messages import Analysis
from tests.bench.systems.place import Place
from tests.bench.systems.records import decode, encode, records, result, topics

__all__ = ["records", "serve", "topics"]


def serve(run: Run, place: Place) -> None:
    """Work until the interpreter ends."""
    # imported by name: it is no dependency of ours, so that type checks and tests go without it
    faststream, kafka = import_module("faststream"), import_module("faststream.kafka")
    broker = kafka.KafkaBroker(place.bootstrap_servers, acks="all", enable_idempotence=True, logger=None)
    policy = {
        "group_id": place.group,
        "auto_offset_reset": "earliest",
        "ack_policy": faststream.AckPolicy.NACK_ON_ERROR,
    }
    message = faststream.Context("message")
    if run.system == "faststream":
        _one_by_one(broker, run.case, place, policy, message)
    else:
        _in_batches(broker, run.case, place, policy, message)
    asyncio.run(_for_ever(broker))


async def _for_ever(broker: Any) -> None:
    await broker.start()
    await asyncio.Event().wait()


def _event(analysis: Analysis, came: dict[str, str]) -> tuple[bytes, dict[str, str], bytes]:
    fields = result(analysis.model_dump())
    headers = {
        "ce_id": str(fields["command_id"]),
        "ce_type": "analysis.done.v1",
        "ce_source": came["ce_source"],
        "ce_subject": came["ce_subject"],
        "traceparent": came["traceparent"],
    }
    return encode(fields), headers, str(analysis.correlation_id).encode()


def _one_by_one(broker: Any, case: Case, place: Place, policy: dict[str, Any], message: Any) -> None:
    response = import_module("faststream.kafka").KafkaResponse

    async def decoder(record: Any) -> dict[str, Any]:
        return decode(record.body)

    async def handle(analysis: Analysis, record: Any = message) -> Any:
        if case.pause:
            await asyncio.sleep(case.pause)
        value, headers, key = _event(analysis, record.headers)
        return response(value, headers=headers, key=key)

    broker.publisher(place.target)(broker.subscriber(place.source, decoder=decoder, **policy)(handle))


def _in_batches(broker: Any, case: Case, place: Place, policy: dict[str, Any], message: Any) -> None:
    async def decoder(record: Any) -> list[dict[str, Any]]:
        return [decode(value) for value in record.body]

    async def handle(analyses: list[Analysis], record: Any = message) -> None:
        if case.pause:
            await _by_key(analyses, case.pause)
        # publish_batch puts a batch into one partition whatever its keys, and fails beyond 16 KiB
        sent = []
        for analysis in analyses:
            value, headers, key = _event(analysis, record.headers)
            sent.append(await broker.publish(value, place.target, key=key, headers=headers, no_confirm=True))
        await asyncio.gather(*sent)

    broker.subscriber(place.source, decoder=decoder, batch=True, max_records=BATCH, **policy)(handle)


async def _by_key(analyses: list[Analysis], pause: float) -> None:
    """What a handler of a batch has to do itself: keys beside each other, the messages of one key in order."""

    async def one_after_the_other(count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(pause)

    await asyncio.gather(*map(one_after_the_other, Counter(each.correlation_id for each in analyses).values()))
