"""Message objects to bytes and back: what is written, what is read, and how wrong bytes end."""

from __future__ import annotations

import io
import json
import random
import threading
from datetime import UTC, datetime, timedelta, timezone
from types import NoneType
from typing import Any

import fastavro
import pytest
from pydantic import model_validator

from antiphon import Command, ConfigurationError, Event, InvalidMessage
from antiphon.avro_schema import message_schema
from antiphon.codecs.avro import AvroCodec
from antiphon.errors import MessageError, UndecodableMessage, UnknownSchema
from antiphon.lifecycle import CommandSettled, DeadLetter, Failure
from antiphon.messages import Message
from tests.unit.codec_messages import (
    AVRO,
    JSON,
    RICH,
    SIMPLE,
    STRICT,
    TREE,
    Colour,
    Larger,
    Point,
    Reading,
    Real,
    Rich,
    Simple,
    Spot,
    Strict,
    Tree,
    Whole,
    print_of,
)


@pytest.fixture
def codec() -> AvroCodec:
    return AvroCodec()


# -- what is written is read -------------------------------------------------------------------------------------------


@pytest.mark.promise("S0-01", "S2-23", "S3-07", "S4-01")
@pytest.mark.parametrize("message", [SIMPLE, RICH, TREE, STRICT], ids=lambda message: type(message).__name__)
def test_what_is_written_is_read_as_it_was(codec: AvroCodec, message: Message) -> None:
    found = AvroCodec().decode(codec.encode(message), AVRO, type(message))
    assert found == message
    assert {name: type(value) for name, value in found} == {name: type(value) for name, value in message}


@pytest.mark.parametrize(
    "value", [True, 7, 7.0, Colour.BLUE, [Point(x=1)], {"a": 1.5}, None], ids=lambda value: type(value).__name__
)
def test_every_part_of_a_union_keeps_its_type(codec: AvroCodec, value: Any) -> None:
    found = codec.decode(codec.encode(RICH.model_copy(update={"mixed": value})), AVRO, Rich)
    assert (found.mixed, type(found.mixed)) == (value, type(value))


def test_models_of_a_union_are_told_apart(codec: AvroCodec) -> None:
    found = codec.decode(codec.encode(RICH), AVRO, Rich)
    assert [type(spot) for spot in found.spots] == [Spot, Point]
    assert [type(size) for size in found.sizes] == [Whole, NoneType, Larger, Real, Colour]


def test_a_value_begins_with_the_fingerprint_of_its_schema(codec: AvroCodec) -> None:
    (announcement,) = codec.announcements([Simple])
    schema = message_schema(Simple)
    assert codec.encode(SIMPLE)[:10] == b"\xc3\x01" + print_of(schema)
    assert announcement.fingerprint == print_of(schema).hex().encode()
    assert json.loads(announcement.schema) == schema


def test_a_reader_of_others_reads_what_was_written(codec: AvroCodec) -> None:
    parsed = fastavro.parse_schema(message_schema(Rich))
    found: Any = fastavro.schemaless_reader(io.BytesIO(codec.encode(RICH)[10:]), parsed, None)
    assert found["point"] == {"x": 1, "colour": "blue"}
    assert found["spots"] == [{"x": 1, "colour": "red", "size": 2.0}, {"x": 3, "colour": "red"}]


def test_instants_of_any_zone_are_the_same_instant(codec: AvroCodec) -> None:
    at = datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    found = codec.decode(codec.encode(SIMPLE.model_copy(update={"at": at})), AVRO, Simple)
    assert found.at == at


def test_a_set_is_written_in_one_order(codec: AvroCodec) -> None:
    turned = RICH.model_copy(update={"colours": {Colour.BLUE, Colour.RED}})
    assert codec.encode(RICH) == codec.encode(turned)


def test_fields_alone_are_written_as_the_message_would_be(codec: AvroCodec) -> None:
    failure = Failure(code="failed", error_class="Boom", message="no", retryable=True)
    at = datetime(2026, 11, 21, 9, 30, 0, 1, tzinfo=UTC)
    settled = CommandSettled(
        command_id="1", command_type="t", service="s", handler="h", replica="r", correlation_id="c", status="failed",
        failure=failure, attempts=2, started_at=at, finished_at=at,
    )  # fmt: skip
    micros = 1795253400000001
    fields = settled.model_dump() | {"started_at": micros, "finished_at": micros}
    assert codec.encode_fields(CommandSettled, fields) == codec.encode(settled)


def test_json_is_read_and_validated_by_the_same_class(codec: AvroCodec) -> None:
    text = SIMPLE.model_copy(update={"raw": b"plain"}).model_dump_json().encode()
    for content_type in (JSON, b"Application/JSON; charset=utf-8", None):
        assert codec.decode(text, content_type, Simple).at == SIMPLE.at
    assert codec.decode(STRICT.model_dump_json().encode(), JSON, Strict) == STRICT


def test_avro_is_known_without_a_content_type(codec: AvroCodec) -> None:
    assert codec.decode(codec.encode(SIMPLE), None, Simple) == SIMPLE


def test_threads_may_share_a_codec() -> None:
    codec, wrong = AvroCodec(), []

    def work() -> None:
        for message in (SIMPLE, RICH, TREE) * 50:
            if codec.decode(codec.encode(message), AVRO, type(message)) != message:
                wrong.append(message)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not wrong


# -- wrong values ------------------------------------------------------------------------------------------------------


class Even(Command, service="even"):
    number: int

    @model_validator(mode="after")
    def _even(self) -> Even:
        if self.number == 13:
            raise KeyError("no ValueError at all")
        if self.number % 2:
            raise ValueError(f"{self.number} is odd")
        return self


def test_a_class_has_the_last_word_whatever_it_raises(codec: AvroCodec) -> None:
    good = codec.encode(Even(number=4))
    assert codec.decode(good, AVRO, Even).number == 4
    for odd, reason in ((3, "3 is odd"), (13, "no ValueError at all")):
        for value, content_type in ((good[:-1] + bytes([2 * odd]), AVRO), (b'{"number": %d}' % odd, JSON)):
            with pytest.raises(InvalidMessage, match=reason):
                codec.decode(value, content_type, Even)


@pytest.mark.promise("S0-47")
def test_wrong_fields_are_named_with_their_path(codec: AvroCodec) -> None:
    with pytest.raises(InvalidMessage) as caught:
        codec.decode(b'{"engine": 1, "points": [{"x": "three"}], "extra": 0}', JSON, Reading)
    assert set(caught.value.fields) == {"engine", "rpm", "points.0.x", "extra"}


@pytest.mark.parametrize(
    ("value", "content_type"),
    [
        (None, AVRO),
        (b"", AVRO),
        (b"", None),
        (b"\xc3\x01", AVRO),
        (b"\xc3\x01" + bytes(7), None),
        (b"\x00\x00\x00\x00\x01abc", AVRO),
        (b"\x00\x00\x00\x00\x01abc", None),
        (b"{", JSON),
        (b'{"engine": "\xff"}', JSON),
        (b"{}", b"text/plain"),
        (b"{}", b"avro/binary+1234"),
        (b"{}", b"\xff"),
    ],
)
def test_what_is_neither_is_undecodable(codec: AvroCodec, value: bytes | None, content_type: bytes | None) -> None:
    with pytest.raises(UndecodableMessage, match="Reading"):
        codec.decode(value, content_type, Reading)


def test_bytes_after_the_message_are_not_passed_over(codec: AvroCodec) -> None:
    with pytest.raises(UndecodableMessage, match="1 bytes follow"):
        codec.decode(codec.encode(SIMPLE) + b"\x00", AVRO, Simple)


def test_forged_depth_is_an_error_and_does_not_kill_the_process(codec: AvroCodec) -> None:
    head = codec.encode(TREE)[:10]
    deep = head + b"\x00\x02" * 200_000 + b"\x00\x00\x00"  # a name, one child, a name, one child, …
    with pytest.raises(UndecodableMessage, match="recursion"):
        codec.decode(deep, AVRO, Tree)
    with pytest.raises(MessageError):
        codec.decode(b'{"next":' * 100_000 + b"{}" + b"}" * 100_000, JSON, Tree)


def test_a_forged_length_is_an_error(codec: AvroCodec) -> None:
    head = codec.encode(SIMPLE)[:10]
    with pytest.raises(UndecodableMessage):
        codec.decode(head + b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", AVRO, Simple)


@pytest.mark.parametrize("message", [SIMPLE, RICH, TREE, STRICT], ids=lambda message: type(message).__name__)
def test_whatever_happens_to_bytes_ends_as_a_message_or_a_message_error(codec: AvroCodec, message: Message) -> None:
    chance = random.Random(f"wrong bytes of {type(message).__name__}")
    good, json_ = codec.encode(message), message.model_copy(update={"raw": b""}).model_dump_json().encode()
    for _ in range(3000):
        wrong = bytearray(chance.choice((good, json_)))
        at = chance.randrange(len(wrong))
        match chance.randrange(4):
            case 0:
                wrong[at] = chance.randrange(256)
            case 1:
                del wrong[at:]
            case 2:
                wrong[at:at] = chance.randbytes(chance.randrange(1, 9))
            case _:
                wrong[10:] = chance.randbytes(chance.randrange(0, 60))
        try:
            codec.decode(bytes(wrong), chance.choice((AVRO, JSON, None)), type(message))
        except (UndecodableMessage, InvalidMessage, UnknownSchema):
            continue


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"number": 2**63}, "number"),
        ({"text": "\ud800"}, "text"),
        ({"text": None}, "text"),
        ({"numbers": ["one"]}, "numbers"),
        ({"labels": {"a": 1}}, "labels"),
        ({"choice": "c"}, "choice"),
        ({"anything": object()}, "anything"),
    ],
)
def test_what_cannot_be_written_is_named(codec: AvroCodec, change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        codec.encode(SIMPLE.model_copy(update=change))
    assert list(caught.value.fields) == [field]


def test_what_cannot_be_converted_is_an_error_of_the_message(codec: AvroCodec) -> None:
    with pytest.raises(InvalidMessage, match="cannot be written"):
        codec.encode(RICH.model_copy(update={"nested": None}))
    chain = Tree()
    for _ in range(5_000):
        chain = Tree(next=chain)
    with pytest.raises(InvalidMessage, match="recursion"):
        codec.encode(chain)


def test_a_field_that_is_left_out_is_named(codec: AvroCodec) -> None:
    with pytest.raises(InvalidMessage, match="service: cannot be written"):
        codec.encode_fields(DeadLetter, {"message_id": "1"})


def test_every_class_that_avro_cannot_hold_is_named_before_anything_is_written(codec: AvroCodec) -> None:
    class Bad(Event, family="bad"):
        anything: Any

    class Worse(Event, family="bad"):
        at: datetime

    with pytest.raises(ConfigurationError) as caught:
        codec.announcements([Simple, Bad, Worse])
    assert len(caught.value.mistakes) == 2
