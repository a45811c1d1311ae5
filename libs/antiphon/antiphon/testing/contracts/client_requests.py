"""Commands that somebody waits for: which answer belongs to whom, and what comes when none does."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from antiphon.broker import Outgoing
from antiphon.client import Client, SubmitOptions
from antiphon.codecs.avro import AvroCodec
from antiphon.envelope import JSON, Envelope
from antiphon.errors import CommandFailed, InvalidMessage
from antiphon.lifecycle import Cause, Done, Failure, Refused
from antiphon.messages import Reply
from antiphon.testing.contracts.client_harness import ClientHarness, Read, Tare, Weigh, Weighed

CAUSES = [Cause(error_class="KeyError", message="'item'")]
REFUSED = Refused(failure=Failure(code="failed", error_class="Empty", message="no item", retryable=True, causes=CAUSES))


def newer_answer(grams: int) -> Reply:
    """The answer as a later release of the service writes it: a field more, and so another schema."""

    class Weighed(Reply):
        grams: int
        unit: str = "g"

    return Weighed(grams=grams)


def ask(client: Client, item: str = "apple") -> asyncio.Task[Weighed]:
    """A request that is under way."""
    return asyncio.create_task(client.request(Weigh(item=item), timeout="30s"))


class RequestContract(ClientHarness):
    """Requests and their answers."""

    @pytest.mark.promise("S0-11")
    async def test_a_request_is_answered_with_the_declared_reply(self) -> None:
        async with self.client() as client:
            asking = ask(client)
            await self.answer((await self.received())[0], Weighed(grams=5))
            assert await asking == Weighed(grams=5)

    async def test_a_request_says_where_its_asker_waits(self) -> None:
        async with self.client() as client:
            asking = ask(client)
            (record,) = await self.received()
            address = Envelope(record).reply_to
            assert address is not None
            assert address.topic == self.names.replies
            assert address.key == address.token
            await self.answer(record, Weighed(grams=5))
            await asking

    async def test_a_command_that_is_answered_with_nothing_returns_nothing(self) -> None:
        async with self.client() as client:
            asking = asyncio.create_task(client.request(Tare(), timeout="30s"))
            await self.answer((await self.received())[0], Done())
            await asking

    @pytest.mark.promise("S0-44")
    async def test_a_failure_is_raised_as_it_was_told(self) -> None:
        async with self.client() as client:
            asking = ask(client)
            await self.answer((await self.received())[0], REFUSED)
            with pytest.raises(CommandFailed, match="no item") as failure:
                await asking
        raised = failure.value
        assert (raised.code, raised.error_class, raised.retryable) == ("failed", "Empty", True)
        assert raised.causes == (("KeyError", "'item'"),)

    async def test_an_answer_that_was_not_declared_is_no_answer(self) -> None:
        async with self.client() as client:
            asking = ask(client)
            await self.answer((await self.received())[0], Done())
            with pytest.raises(CommandFailed) as failure:
                await asking
        assert failure.value.code == "unexpected-answer"

    async def test_a_broken_answer_is_told_to_whoever_waits_and_to_nobody_else(self) -> None:
        async with self.client() as client:
            broken, sound = ask(client, "broken"), ask(client, "sound")
            for record in await self.received(2):
                answer = self.answer_record(record, Weighed(grams=5))
                if record.key == b"broken":
                    headers = [JSON if name == "content-type" else (name, value) for name, value in answer.headers]
                    answer = answer._replace(value=b'{"grams": "many"}', headers=headers)
                await self.write(answer)
            with pytest.raises(InvalidMessage, match="grams"):
                await broken
            assert await sound == Weighed(grams=5)

    async def test_answers_find_their_requests_in_whatever_order_they_come(self) -> None:
        async with self.client() as client:
            asking = [ask(client, str(number)) for number in range(20)]
            for record in reversed(await self.received(20)):
                await self.answer(record, Weighed(grams=int(record.key or b"")))
            assert [answer.grams for answer in await asyncio.gather(*asking)] == list(range(20))

    async def test_clients_that_share_a_partition_get_their_own_answers_only(self) -> None:
        async with self.client() as one, self.client() as other, self.client() as third:
            clients = (one, other, third)  # of three, two share one of the two partitions
            asking = [ask(client, str(number)) for number, client in enumerate(clients)]
            for record in await self.received(3):
                await self.answer(record, Weighed(grams=int(record.key or b"")))
            assert [answer.grams for answer in await asyncio.gather(*asking)] == [0, 1, 2]

    async def test_what_is_no_answer_of_ours_is_passed_over(self) -> None:
        async with self.client() as client:
            asking = ask(client)
            (record,) = await self.received()
            answer = self.answer_record(record, Weighed(grams=5))
            foreign = [("ce_replytoken", b"somebody-else"), ("ce_type", b"\xff")]
            strange = Outgoing(answer.topic, answer.partition, None, None, [])
            await self.write(strange, strange._replace(headers=foreign), answer, answer)
            assert await asking == Weighed(grams=5)

    async def test_an_aborted_answer_is_never_seen(self) -> None:
        async with self.client() as client:
            asking = ask(client)
            (record,) = await self.received()
            producer = self.cluster.producer(f"{self.names.prefix}scales")
            producer.begin()
            aborted = self.answer_record(record, Weighed(grams=1))
            end = await self.end(aborted)
            producer.send([aborted])
            async with asyncio.timeout(self.patience):
                while await self.end(aborted) == end:  # an abort would take back what has not left yet
                    await asyncio.sleep(0.01)
            producer.abort(self.patience)
            producer.begin()
            producer.send([self.answer_record(record, Weighed(grams=2))])
            producer.commit(self.patience)
            producer.close()
            assert await asking == Weighed(grams=2)

    async def test_an_answer_in_a_newer_schema_waits_until_the_schema_is_announced(self) -> None:
        newer, service = newer_answer(7), AvroCodec()
        async with self.client() as client:
            asking = ask(client)
            (record,) = await self.received()
            await self.write(self.answer_record(record, newer, service))
            following = ask(client)  # once it is answered, on the same partition, the former answer has been looked at
            await self.answer((await self.received())[0], Weighed(grams=1))
            await following
            assert not asking.done()
            (announcement,) = service.announcements([type(newer)])
            await self.write(Outgoing(self.names.schemas, 0, announcement.fingerprint, announcement.schema, [JSON]))
            assert await asking == Weighed(grams=7)

    @pytest.mark.promise("S0-46")
    async def test_without_an_answer_in_time_a_request_fails_and_a_late_answer_is_dropped(self) -> None:
        async with self.client() as client:
            with pytest.raises(CommandFailed, match=r"no answer after 0\.3 s") as failure:
                await client.request(Weigh(item="slow"), timeout="300ms")
            assert (failure.value.code, failure.value.retryable) == ("timeout", True)
            late = await self.received()
            asking = ask(client)
            await self.answer(late[0], Weighed(grams=1))
            await self.answer((await self.received())[0], Weighed(grams=2))
            assert await asking == Weighed(grams=2)

    @pytest.mark.promise("S0-46")
    async def test_a_command_need_not_be_started_after_its_asker_has_gone(self) -> None:
        async with self.client() as client:
            before = datetime.now(UTC)
            asking = ask(client)
            (record,) = await self.received()
            await self.answer(record, Weighed(grams=5))
            await asking
        deadline = Envelope(record).deadline
        assert deadline is not None
        assert 29 < deadline - before.timestamp() < 60

    @pytest.mark.promise("S3-42")
    async def test_every_request_has_a_deadline_of_half_a_minute_or_what_its_class_says(self) -> None:
        async with self.client() as client:
            for command, most in ((Weigh(item="apple"), 30), (Read(), 120)):
                asked = datetime.now(UTC).timestamp()
                asking = asyncio.create_task(client.request(command))
                (record,) = await self.received()
                deadline = Envelope(record).deadline
                assert deadline is not None
                assert most - 1 < deadline - asked < most + 10
                await self.answer(record, Weighed(grams=5))
                await asking

    @pytest.mark.promise("S3-42")
    async def test_what_nobody_waits_for_has_no_deadline(self) -> None:
        async with self.client() as client:
            await client.submit(Weigh(item="apple"))
            (record,) = await self.received()
        assert Envelope(record).deadline is None
        assert Envelope(record).reply_to is None

    async def test_an_earlier_deadline_of_the_asker_stands(self) -> None:
        earlier = datetime.now(UTC) + timedelta(seconds=20)
        async with self.client() as client:
            options = SubmitOptions(deadline=earlier, command_id=uuid4())
            asking = asyncio.create_task(client.request(Read(), timeout="10m", options=options))
            (record,) = await self.received()
            await self.answer(record, Weighed(grams=5))
            await asking
        assert Envelope(record).deadline == pytest.approx(earlier.timestamp())
        assert Envelope(record).id == str(options.command_id)

    async def test_requests_that_wait_when_the_client_closes_fail(self) -> None:
        async with self.client() as client:
            asking = ask(client)
            await self.received()
        with pytest.raises(CommandFailed) as failure:
            await asking
        assert failure.value.code == "cancelled"

    async def test_a_request_that_is_cancelled_leaves_the_client_usable(self) -> None:
        async with self.client() as client:
            asking = ask(client)
            (record,) = await self.received()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            following = ask(client)
            await self.answer(record, Weighed(grams=1))
            await self.answer((await self.received())[0], Weighed(grams=2))
            assert await following == Weighed(grams=2)
