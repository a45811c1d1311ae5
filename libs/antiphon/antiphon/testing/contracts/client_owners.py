"""What a client asks of the owners of slices: to cancel a command, to redrive or discard a dead letter."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from antiphon.broker import Record
from antiphon.client import InstanceMessage, ReturnedLetter
from antiphon.envelope import Envelope, Redrive
from antiphon.errors import InvalidMessage, UnknownTopic
from antiphon.instances import ResumeRequested
from antiphon.lifecycle import CancelRequested, DeadLetter, Failure, RecordHeader
from antiphon.testing.contracts.client_harness import PARTITIONS, ClientHarness, Weigh
from antiphon.topics import partition_of

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
FAILED = Failure(code="failed", error_class="E", message="no", retryable=True)


def dead(number: int = 0, **changes: object) -> DeadLetter:
    """A dead letter of a command that was to be weighed, in partition 1."""
    headers = {
        "ce_type": Weigh.type_name(),
        "ce_id": f"order {number}",
        "ce_replyto": "t.replies/0",
        "ce_replytoken": "t",
        "ce_deadline": "2026-11-21T12:00:00Z",
        "ce_notbefore": "2026-11-21T11:00:00Z",
        "ce_handler": "weigh",
        "ce_generation": "2",
        "content-type": "avro/binary",
    }
    fields: dict[str, object] = {
        "message_id": str(uuid4()),
        "message_type": Weigh.type_name(),
        "service": "scales",
        "handler": "weigh",
        "topic": "elsewhere",
        "partition": 1,
        "offset": 7,
        "record_key": b"apple",
        "record_value": b"%d" % number,
        "record_headers": [RecordHeader(name=name, value=text.encode()) for name, text in headers.items()],
        "failure": FAILED,
        "attempts": 3,
        "received_at": NOON,
        "given_up_at": NOON,
        "generation": 2,
    }
    return DeadLetter.model_validate(fields | changes)


class OwnersContract(ClientHarness):
    """Dead letters on their way back, and wishes to cancel."""

    async def back(self, *letters: ReturnedLetter) -> list[Record]:
        async with self.client() as client:
            await client.send_back(letters)
        return await self.received(len(letters))

    @pytest.mark.promise("S0-42")
    async def test_a_redrive_is_the_record_as_it_was_with_its_handler_and_the_next_generation(self) -> None:
        (record,) = await self.back(ReturnedLetter(dead(5)))

        assert (record.partition, record.key, record.value) == (1, b"apple", b"5")
        envelope = Envelope(record)
        assert envelope.redrive == Redrive("weigh", 3, False)
        assert envelope.headers == {
            "ce_type": Weigh.type_name().encode(),
            "ce_id": b"order 5",
            "ce_replyto": b"t.replies/0",
            "ce_replytoken": b"t",
            "ce_handler": b"weigh",
            "ce_generation": b"3",
            "content-type": b"avro/binary",
        }

    async def test_a_record_without_an_id_gets_that_of_its_dead_letter(self) -> None:
        letter = dead(handler=None, record_headers=[], record_key=None, generation=0)
        (record,) = await self.back(ReturnedLetter(letter))

        assert record.key is None
        assert dict(record.headers) == {"ce_id": letter.message_id.encode(), "ce_generation": b"1"}
        assert Envelope(record).redrive == Redrive(None, 1, False)

    @pytest.mark.parametrize(("code", "stays"), [("failed", True), ("misplaced", False)])
    async def test_what_was_forwarded_to_a_wrong_place_may_be_forwarded_again(self, code: str, stays: bool) -> None:
        moved = RecordHeader(name="ce_forwarded", value=b"1")
        failed = FAILED.model_copy(update={"code": code})
        (record,) = await self.back(ReturnedLetter(dead(record_headers=[moved], failure=failed)))

        assert Envelope(record).forwarded == stays

    async def test_an_edited_redrive_has_the_new_content_as_json(self) -> None:
        (record,) = await self.back(ReturnedLetter(dead(), edited=Weigh(item="pear")))

        envelope = Envelope(record)
        assert self.codec.decode(record.value, envelope.content_type, Weigh) == Weigh(item="pear")
        assert [name for name, _ in record.headers].count("content-type") == 1
        assert record.key == b"apple", "it stays in the order of its key"

    async def test_a_discard_has_no_content(self) -> None:
        (record,) = await self.back(ReturnedLetter(dead(record_value=None), discard=True))

        assert record.value is None
        assert Envelope(record).redrive == Redrive("weigh", 3, True)

    async def test_many_come_back_in_their_order(self) -> None:
        records = await self.back(*(ReturnedLetter(dead(number)) for number in range(300)))

        assert [record.value for record in records] == [b"%d" % number for number in range(300)]

    async def test_nothing_is_sent_if_the_content_of_one_is_not_there(self) -> None:
        async with self.client() as client:
            with pytest.raises(InvalidMessage, match="holds no content"):
                await client.send_back([ReturnedLetter(dead()), ReturnedLetter(dead(record_value=None))])
            with pytest.raises(UnknownTopic):
                await client.send_back([ReturnedLetter(dead(service="nowhere"))])
            await client.send_back([])
            await client.send_back([ReturnedLetter(dead(9))])
        assert [record.value for record in await self.received()] == [b"9"]

    @pytest.mark.parametrize("key", [b"apple", None])
    async def test_a_wish_to_cancel_lies_in_the_slice_of_the_command(self, key: bytes | None) -> None:
        id_ = uuid4()
        async with self.client() as client:
            await client.cancel(id_, service="scales", key=key, reason="too late", requested_by="ada")

        slices = range(PARTITIONS) if key is None else [partition_of(key, PARTITIONS)]
        reader = self._reader(self.names.cancels, PARTITIONS)
        records = self._read(reader, len(slices))
        reader.close()
        assert sorted(record.partition for record in records) == list(slices)
        for record in records:
            envelope = Envelope(record)
            assert (record.key, envelope.type) == (key, CancelRequested.type_name())
            wanted = self.codec.decode(record.value, envelope.content_type, CancelRequested)
            said = (wanted.command_id, wanted.service, wanted.reason, wanted.requested_by)
            assert said == (str(id_), "scales", "too late", "ada")
            assert abs((wanted.requested_at - datetime.now(UTC)).total_seconds()) < 60

    async def told(self, *messages: InstanceMessage) -> list[Record]:
        async with self.client() as client:
            self.ids = await client.tell(messages)
        return await self.received(len(messages))

    @pytest.mark.promise("S1-43")
    async def test_an_instance_is_told_something_in_the_slice_that_it_lives_in(self) -> None:
        wanted = ResumeRequested(by="ada", requested_at=NOON)
        (record,) = await self.told(InstanceMessage("i-1", "scales", 1, wanted, "order 7"))

        envelope = Envelope(record)
        assert (record.partition, envelope.type, envelope.id) == (1, ResumeRequested.type_name(), str(self.ids[0]))
        assert (envelope.header("ce_instance"), envelope.correlation_id) == ("i-1", "order 7")
        assert self.codec.decode(record.value, envelope.content_type, ResumeRequested) == wanted

    async def test_what_an_instance_is_told_again_has_the_same_id(self) -> None:
        wanted, id_ = ResumeRequested(requested_at=NOON), uuid4()
        message = InstanceMessage("i-1", "scales", 0, wanted, "order 7", id_)
        records = await self.told(message, message)

        assert [Envelope(record).id for record in records] == [str(id_)] * 2
        assert self.ids == [id_] * 2
