"""The story of a violation: what the log has of the messages, keys and tokens it is about, and what went on."""

from __future__ import annotations

from collections.abc import Sequence

from antiphon.broker import Record
from antiphon.envelope import Envelope
from antiphon.testing.simulation.program import Evidence, Violation

LONGEST = 80  # lines


def story(evidence: Evidence, violations: Sequence[Violation], trace: Sequence[tuple[float, str, str]]) -> list[str]:
    """Lines: the events of the trace without the turns, then the records that the violations are about."""
    happened = [f"{at:9.3f} {who}: {what}" for at, who, what in trace if what != "turn"]
    about = {each for violation in violations for each in violation.about}
    found = []
    names = evidence.names
    topics = [topic for app in evidence.apps for topic in evidence.command_topics(app.service)]
    families = sorted({handler.message.family for app in evidence.apps for handler in app.events})
    topics += [names.events(family) for family in families] + [names.lifecycle, names.dead_letters, names.replies]
    for topic in topics:
        found += [_line(record) for record in evidence.records(topic) if _concerns(record, about)]
    return happened[-LONGEST:] + found[:LONGEST]


def _concerns(record: Record, about: set[str]) -> bool:
    envelope = Envelope(record)
    token = (envelope.raw("ce_replytoken") or b"").decode()
    return bool(about & {envelope.id, (record.key or b"").decode(errors="replace"), token, envelope.causation_id})


def _line(record: Record) -> str:
    envelope = Envelope(record)
    return (
        f"{record.topic}[{record.partition}]@{record.offset} {envelope.type} id {envelope.id} key {record.key!r} "
        f"at {record.timestamp} {(record.value or b'')[10:90]!r}"
    )
