"""Ids, addresses and times around a message, as headers of a record."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from antiphon.broker import Record
from antiphon.envelope import Envelope, Origin, ReplyAddress, derived_id, headers, reply_headers, rfc3339, uuid_of
from antiphon.errors import UndecodableMessage

ID = "6f1f0f5e-2f0b-4b8e-9f43-0a6b5b9f3a11"


def envelope(key: bytes | None = None, offset: int = 7, **given: bytes) -> Envelope:
    found = [(name.replace("__", "-"), value) for name, value in given.items()]
    return Envelope(Record("antiphon.commands.analysis", 3, offset, key, b"", found, 1_795_253_400_000))


@pytest.mark.promise("S3-06", "S0-39", "S2-13")
def test_what_is_written_is_read() -> None:
    origin = Origin("order-4711", ID, b"00-trace", b"state")
    written = headers("service/analysis", "antiphon.analysis.Assess", ID, 1_795_253_400.25, origin)
    written += reply_headers(ReplyAddress("antiphon.replies", 4, b"k", b"\x00token"))
    found = Envelope(Record("t", 0, 0, b"other", b"", written, 0))
    assert (found.type, found.id, found.source) == ("antiphon.analysis.Assess", ID, "service/analysis")
    assert (found.correlation_id, found.causation_id) == ("order-4711", ID)
    assert found.time == datetime(2026, 11, 21, 9, 30, 0, 250_000, UTC)
    assert found.reply_to == ReplyAddress("antiphon.replies", 4, b"k", b"\x00token")
    assert (found.raw("traceparent"), found.raw("tracestate")) == (b"00-trace", b"state")
    assert found.content_type == b"avro/binary"


@pytest.mark.promise("S2-10")
def test_a_record_without_headers_has_an_id_of_its_place_a_time_and_a_correlation() -> None:
    bare = envelope()
    assert bare.id == envelope().id != envelope(offset=8).id
    assert UUID(bare.id)
    assert bare.time == datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
    assert bare.correlation_id == bare.id
    assert envelope(key=b"v-7").correlation_id == "v-7"
    assert envelope(key=b"v-7", ce_correlationid=b"order").correlation_id == "order"
    assert (bare.type, bare.source, bare.subject, bare.reply_to, bare.deadline) == (None,) * 5
    assert (bare.priority, bare.forwarded) == ("normal", False)


def test_an_id_is_a_uuid_in_one_form_and_any_other_text_is_mapped_to_one() -> None:
    assert envelope(ce_id=ID.upper().encode()).id == ID
    assert envelope(ce_id=f"{{{ID}}}".encode()).id == ID
    mapped = uuid_of("order 4711")
    assert mapped == uuid_of("order 4711") != uuid_of("order 4712")
    assert UUID(mapped).version == 8


def test_derived_ids_depend_on_every_part_and_on_their_borders() -> None:
    assert derived_id("a", "b") == derived_id("a", "b")
    assert len({derived_id("a", "b"), derived_id("ab"), derived_id("b", "a"), derived_id("a", "b", "")}) == 4


@pytest.mark.parametrize("address", ["antiphon.replies", "antiphon.replies/x", "/3", "a b/3", "t/3/4", "t/1234567"])
def test_a_malformed_reply_address_is_undecodable(address: str) -> None:
    with pytest.raises(UndecodableMessage, match="topic/partition"):
        _ = envelope(ce_replyto=address.encode()).reply_to


@pytest.mark.parametrize("correlation", ["", "x" * 129])
def test_a_correlation_id_has_1_to_128_characters(correlation: str) -> None:
    with pytest.raises(UndecodableMessage, match="1 to 128"):
        _ = envelope(ce_correlationid=correlation.encode()).correlation_id


def test_a_deadline_is_a_moment_and_anything_else_is_named() -> None:
    assert envelope(ce_deadline=b"2026-11-21T10:30:00+01:00").deadline == 1_795_253_400
    assert envelope(ce_deadline=rfc3339(1_795_253_400.5).encode()).deadline == 1_795_253_400.5
    with pytest.raises(UndecodableMessage, match=r"ce_deadline is 'soon'; write an RFC 3339 time"):
        _ = envelope(ce_deadline=b"soon").deadline


def test_a_header_that_is_no_text_is_named() -> None:
    with pytest.raises(UndecodableMessage, match="ce_type is not UTF-8"):
        _ = envelope(ce_type=b"\xff").type


@pytest.mark.parametrize(("stated", "expected"), [(b"critical", "critical"), (b"low", "low"), (b"now!", "normal")])
def test_an_unknown_priority_counts_as_normal(stated: bytes, expected: str) -> None:
    assert envelope(ce_priority=stated).priority == expected
