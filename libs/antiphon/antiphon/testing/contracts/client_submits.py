"""Commands that nobody waits for: what a client writes, and when it says so."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from antiphon.broker import Partition, TopicPlan
from antiphon.client import SubmitOptions
from antiphon.codecs.avro import AvroCodec
from antiphon.envelope import JSON, Envelope
from antiphon.errors import ConfigurationError, InvalidMessage, MessageTooLarge, UnknownTopic
from antiphon.messages import Command, Event, Service
from antiphon.testing.contracts.client_harness import PARTITIONS, ClientHarness, Read, Tare, Weigh, Weighed
from antiphon.topics import partition_of

LATE = datetime(2100, 1, 1, tzinfo=UTC)


class Elsewhere(Command, service="nowhere"):
    """Its service has no topic."""


class ScaleBroken(Event, family="scales", key="scale"):
    """A fact that no service here knows."""

    scale: str


class Alarm(Command, service=Service("alarms", lanes=("critical",))):
    """Its service has a lane."""


class SubmitContract(ClientHarness):
    """Commands that nobody waits for."""

    async def test_a_submitted_command_is_stored_when_its_id_is_returned(self) -> None:
        places = [Partition(self.names.commands("scales"), number) for number in range(PARTITIONS)]
        async with self.client() as client:
            id_ = await client.submit(Weigh(item="apple"))
            ends = await asyncio.wrap_future(self.admin.ends(places))
        assert sum(ends.values()) == 1
        (record,) = await self.received()
        assert self.codec.decode(record.value, Envelope(record).content_type, Weigh) == Weigh(item="apple")
        assert Envelope(record).id == str(id_)

    async def test_a_command_says_what_it_is_where_it_comes_from_and_what_it_belongs_to(self) -> None:
        async with self.client() as client:
            await client.submit(Weigh(item="apple"))
        envelope = Envelope((await self.received())[0])
        assert (envelope.type, envelope.source) == ("antiphon.scales.Weigh", "client/test")
        assert envelope.correlation_id == "apple"
        assert abs((envelope.time - datetime.now(UTC)).total_seconds()) < 60
        optional = (
            "ce_priority",
            "ce_deadline",
            "ce_notbefore",
            "ce_subject",
            "ce_tags",
            "ce_replyto",
            "ce_causationid",
        )
        assert [name for name in optional if envelope.raw(name) is not None] == []

    @pytest.mark.promise("S3-41")
    @pytest.mark.parametrize(("priority", "lane"), [("critical", "critical"), ("high", None), ("normal", None)])
    async def test_a_command_goes_to_the_lane_of_its_priority_if_there_is_one(
        self, priority: str, lane: str | None
    ) -> None:
        topic = self.names.commands("alarms", lane)
        self.admin.create_topics([TopicPlan(topic, PARTITIONS)])
        places = [Partition(topic, number) for number in range(PARTITIONS)]
        async with self.client() as client:
            await client.submit(Alarm(), SubmitOptions(priority=priority))
            ends = await asyncio.wrap_future(self.admin.ends(places))
        assert sum(ends.values()) == 1

    @pytest.mark.promise("S0-39")
    async def test_options_travel_as_headers(self) -> None:
        deadline = datetime(2100, 1, 2, 3, 4, 5, tzinfo=UTC)
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        options = SubmitOptions(
            command_id=uuid4(),
            correlation_id="order 7",
            causation_id=uuid4(),
            priority="critical",
            deadline=deadline,
            not_before=deadline,
            subject="vehicle-1",
            tenant="acme",
            tags={"team": "größe"},
            traceparent=trace,
        )
        async with self.client() as client:
            assert await client.submit(Weigh(item="apple"), options) == options.command_id
        envelope = Envelope((await self.received())[0])
        assert envelope.id == str(options.command_id)
        assert (envelope.correlation_id, envelope.causation_id) == ("order 7", str(options.causation_id))
        assert (envelope.priority, envelope.deadline) == ("critical", deadline.timestamp())
        assert envelope.not_before == deadline.timestamp()
        assert (envelope.subject, envelope.header("traceparent")) == ("vehicle-1", trace)
        assert json.loads(envelope.header("ce_tags") or "") == {"team": "größe"}
        assert envelope.tenant == "acme"

    @pytest.mark.promise("S2-06")
    async def test_a_published_event_lies_in_its_family_by_its_key(self) -> None:
        topic = self.names.events("scales")
        self.admin.create_topics([TopicPlan(topic, PARTITIONS)])
        async with self.client() as client:
            id_ = await client.publish(ScaleBroken(scale="left"), SubmitOptions(correlation_id="order 7"))
        (record,) = await self.received(topic=topic)
        envelope = Envelope(record)
        assert (record.key, record.partition) == (b"left", partition_of(b"left", PARTITIONS))
        assert (envelope.id, envelope.type) == (str(id_), "antiphon.scales.ScaleBroken")
        assert (envelope.source, envelope.correlation_id) == ("client/test", "order 7")
        assert self.codec.decode(record.value, envelope.content_type, ScaleBroken) == ScaleBroken(scale="left")
        announced = {found.key: found.value for found in await self.announced(4)}
        assert {found.fingerprint for found in AvroCodec().announcements([ScaleBroken])} <= set(announced)

    @pytest.mark.parametrize(
        ("command", "correlation_id", "key"),
        [
            pytest.param(Weigh(item="apple"), "order 7", "apple", id="the field that the class names"),
            pytest.param(Read(), "order 7", "order 7", id="else the correlation id"),
            pytest.param(Read(), None, None, id="else the message id"),
        ],
    )
    async def test_a_command_lies_where_its_key_belongs(
        self, command: Command[Weighed], correlation_id: str | None, key: str | None
    ) -> None:
        async with self.client() as client:
            id_ = await client.submit(command, SubmitOptions(correlation_id=correlation_id))
        (record,) = await self.received()
        expected = (key or str(id_)).encode()
        assert (record.key, record.partition) == (expected, partition_of(expected, PARTITIONS))

    async def test_a_key_too_long_for_a_correlation_id_stays_the_key(self) -> None:
        async with self.client() as client:
            id_ = await client.submit(Weigh(item="x" * 300))
        (record,) = await self.received()
        assert record.key == b"x" * 300
        assert Envelope(record).correlation_id == str(id_)

    async def test_commands_submitted_together_are_all_stored(self) -> None:
        async with self.client() as client:
            ids = await asyncio.gather(*(client.submit(Weigh(item=str(number))) for number in range(100)))
        assert {Envelope(record).id for record in await self.received(100)} == {str(id_) for id_ in ids}

    async def test_schemas_are_announced_before_the_first_command(self) -> None:
        async with self.client() as client:
            await client.submit(Weigh(item="apple"))
        expected = {found.fingerprint: found.schema for found in AvroCodec().announcements([Weigh, Read, Tare])}
        records = await self.announced(3)
        assert {record.key: record.value for record in records} == expected
        assert {tuple(record.headers) for record in records} == {(JSON,)}

    async def test_a_command_over_the_limit_is_refused_with_both_sizes(self) -> None:
        async with self.client(message_bytes=1_000) as client:
            with pytest.raises(MessageTooLarge) as refusal:
                await client.submit(Read(note="x" * 5_000))
            assert refusal.value.size > 5_000
            assert refusal.value.limit == 1_000
            await client.submit(Read(note="small"))
        assert len(await self.received()) == 1

    async def test_a_service_without_a_topic_is_told(self) -> None:
        async with self.client() as client:
            with pytest.raises(UnknownTopic, match=r"commands\.nowhere does not exist: run `antiphon topics apply`"):
                await client.submit(Elsewhere())

    async def test_another_number_of_partitions_is_refused_since_keys_would_lie_elsewhere(self) -> None:
        self.admin.create_topics([TopicPlan(self.names.commands("nowhere"), PARTITIONS + 1)])
        async with self.client() as client:
            with pytest.raises(ConfigurationError, match="3 partitions, this client expects 2"):
                await client.submit(Elsewhere())

    @pytest.mark.parametrize(
        ("options", "field"),
        [
            (SubmitOptions(priority="urgent"), "priority"),
            (SubmitOptions(correlation_id="x" * 129), "correlation_id"),
            (SubmitOptions(deadline=datetime(2100, 1, 1)), "deadline"),
            (SubmitOptions(not_before=datetime(2100, 1, 1)), "not_before"),
            (SubmitOptions(not_before=LATE, deadline=LATE - timedelta(seconds=1)), "not_before"),
        ],
    )
    async def test_options_that_no_service_could_read_are_refused(self, options: SubmitOptions, field: str) -> None:
        async with self.client() as client:
            with pytest.raises(InvalidMessage) as refusal:
                await client.submit(Weigh(item="apple"), options)
        assert list(refusal.value.fields) == [field]

    async def test_a_closed_client_says_so(self) -> None:
        client = self.client()
        await client.submit(Weigh(item="apple"))
        await client.close()
        await client.close()
        with pytest.raises(RuntimeError, match="closed"):
            await client.submit(Weigh(item="apple"))
