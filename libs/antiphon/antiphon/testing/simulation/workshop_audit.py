"""What must have come of the workshop's load, as the messages in the log say, each of which carries its script."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from antiphon.broker import Record
from antiphon.envelope import Envelope, derived_id
from antiphon.lifecycle import CancelRequested, CommandSettled
from antiphon.messages import Message
from antiphon.retry import Retry
from antiphon.testing.simulation.faults import Boundary, Kind
from antiphon.testing.simulation.program import Evidence, Violation
from antiphon.testing.simulation.workshop import (
    SCRIPTED,
    TIMEOUT,
    Call,
    Grind,
    Made,
    Mend,
    Noticed,
    Script,
)
from antiphon.testing.simulation.workshop_load import GARBAGE
from antiphon.topics import partition_of

DELAYS = (("200ms", "1s"), ("1s", "2s"), ("100ms",), ("300ms", "7s"), ("6s",))


@dataclass(frozen=True, slots=True)
class _Done:
    """A command that was completed: where its first copy lies in the partition of its key, and what it was."""

    place: int
    message: Made
    tried_once: bool
    on_time: bool  # it was to be started as soon as it came


class WorkshopAudit:
    """Asked once, in the end; `parcels` is what has left the house, by idempotency key."""

    def __init__(self, evidence: Evidence, retry: Retry, parcels: Counter[str]) -> None:
        self._evidence, self._retry, self._parcels = evidence, retry, parcels
        self._partitions = evidence.installation.partitions

    def violations(self) -> list[Violation]:
        """All that is wrong."""
        evidence = self._evidence
        cancelled = _cancels(evidence)
        found: list[Violation] = []
        done: dict[str, _Done] = {}
        for id_, copies in evidence.commands("workshop").items():
            ends = sorted(evidence.settled.get(id_, []), key=lambda end: end.generation)
            first = next((copy for copy in copies if not _is_redrive(copy)), copies[0])
            message: Made | None = read_made(evidence, first.value, dict(first.headers))
            expected = self._expected(first, message) | _overrun(evidence, message)
            if id_ in cancelled:
                early = cancelled[id_] < first.timestamp and _heeded(evidence)
                expected = expected - {"completed", "failed"} | {"cancelled"} if early else expected | {"cancelled"}
            if ends and ends[0].status not in expected and not _taken_for_deadly(evidence, ends[0]):
                told = f"command {id_} ended {ends[0].status}, not {' or '.join(sorted(expected))}"
                found.append(Violation(told, (id_,)))
            if message is not None and ends and ends[-1].status == "completed":
                tried_once = not message.script.fails and ends[-1].generation == 0
                done[id_] = _Done(self._place(copies, message.thing), message, tried_once, not _waited(first))
        found += self._audit_done(evidence, list(done.values()))
        found += self._audit_notices(evidence, done)
        found += self._audit_calls(evidence, done)
        return found + self._audit_parcels(evidence, done)

    def _expected(self, first: Record, message: Made | None) -> set[str]:
        envelope = Envelope(first)
        bad_address = (envelope.raw("ce_replyto") or b"").startswith(b"nowhere")
        late = {"timed_out"} if envelope.raw("ce_deadline") and not bad_address else set()
        if message is None or bad_address:
            return {"dead_lettered"} | late
        script = message.script
        if not self._succeeds(script):
            return {"failed"} | late
        if isinstance(message, Mend) and script.seconds > TIMEOUT:
            return {"timed_out"}
        return ({"dead_lettered"} if script.heavy else {"completed"}) | late

    def _succeeds(self, script: Script) -> bool:
        return not script.fatal and script.fails <= len(self._retry.delays)

    def _place(self, copies: Sequence[Record], thing: str) -> int:
        """Where the first copy lies in the partition of its key."""
        right = partition_of(thing.encode(), self._partitions)
        return min((copy.offset for copy in copies if copy.partition == right), default=-1)

    @staticmethod
    def _audit_done(evidence: Evidence, done: list[_Done]) -> list[Violation]:
        found = []
        kept = {key: json.loads(value)["numbers"] for key, value in evidence.kept("workshop", "Mending").items()}
        by_thing: defaultdict[str, list[_Done]] = defaultdict(list)
        for each in sorted(done, key=lambda found: found.place):
            by_thing[each.message.thing].append(each)
        for thing in {*by_thing, *kept}:
            seen, expected = kept.get(thing, []), [each.message.number for each in by_thing[thing]]
            if sorted(seen) != sorted(expected):
                found.append(Violation(f"{thing}: lost or doubled: done {seen}, to be done {expected}", (thing,)))
                continue
            for what, kept_order in (("ordered", _ordered), ("at the first attempt", _tried_once)):
                numbers = [each.message.number for each in by_thing[thing] if kept_order(each)]
                order = [number for number in seen if number in numbers]
                if order != numbers:
                    found.append(Violation(f"{thing}: order of those {what}: {order}, not {numbers}", (thing,)))
        return found

    def _audit_notices(self, evidence: Evidence, done: dict[str, _Done]) -> list[Violation]:
        expected = Counter(
            derived_id(id_, "service/workshop", _handler(each.message), str(index))
            for id_, each in done.items()
            for index in range(each.message.script.notices)
        )
        published = evidence.records(evidence.names.events("notices"))
        found = _compare("notice", expected, Counter(Envelope(record).id for record in published))
        events = [(Envelope(record).id, evidence.decode(record, Noticed)) for record in published]
        deadly = _set_aside(evidence)
        events = [(id_, event) for id_, event in events if id_ not in deadly]
        aside = {evidence.decode(record, Noticed).mark for record in published if Envelope(record).id in deadly}
        heard, done_filed = _marks(evidence, "Heard"), _marks(evidence, "Filed")
        for each in aside:  # they may have been redriven, or not
            del heard[each], done_filed[each]
        found += _compare("notice heard", Counter(event.mark for _, event in events), heard)
        dead = Counter(id_ for id_, event in events if not self._succeeds(event.script))
        letters = Counter(
            id_
            for id_, letters in evidence.dead_letters.items()
            for letter in letters
            if letter.message_type == Noticed.type_name() and id_ not in deadly
        )
        found += _compare("dead letter of a notice", dead, letters)
        redriven = {
            id_
            for id_, copies in evidence.commands("front-desk").items()
            for copy in copies
            if _is_redrive(copy) and "ce_discard" not in dict(copy.headers)
        }
        filed = Counter(event.mark for id_, event in events if id_ not in dead or id_ in redriven)
        return found + _compare("notice filed", filed, done_filed)

    def _audit_parcels(self, evidence: Evidence, done: dict[str, _Done]) -> list[Violation]:
        """What left the house: at least once where the command was completed, and again only where something failed; a
        message whose outputs are refused takes the slice's others with it, a few times."""
        refused = [letters for letters in evidence.dead_letters.values() if letters[0].failure.code == "output-refused"]
        most = 1 + len(evidence.struck) + 4 * len(refused)
        mended = {id_: each.message.script for id_, each in done.items() if isinstance(each.message, Mend)}
        sent = {f"{id_}/parcel" for id_, script in mended.items() if script.parcel}
        return [
            Violation(f"parcel {key} has left {self._parcels[key]} times", (key.partition("/")[0],))
            for key in sorted({*sent, *self._parcels})
            if not (key in sent) <= self._parcels[key] <= most
        ]

    @staticmethod
    def _audit_calls(evidence: Evidence, done: dict[str, _Done]) -> list[Violation]:
        expected = Counter(
            derived_id(id_, "service/workshop", _handler(each.message), str(each.message.script.notices + index))
            for id_, each in done.items()
            for index in range(each.message.script.calls)
        )
        taken = Call.type_name().encode()
        sent = {
            id_: copies[0]
            for id_, copies in evidence.commands("front-desk").items()
            if Envelope(copies[0]).raw("ce_type") == taken
        }
        found = _compare("call", expected, Counter(sent.keys()))
        taken_ids = {
            id_ for id_ in sent if evidence.settled.get(id_) and evidence.settled[id_][-1].status == "completed"
        }
        found += [
            Violation(f"call {id_} was not completed", (id_,)) for id_ in sent.keys() - taken_ids - _set_aside(evidence)
        ]
        marks = Counter(evidence.decode(sent[id_], Call).mark for id_ in taken_ids)
        return found + _compare("call taken", marks, _marks(evidence, "Called"))


def read_made(evidence: Evidence, value: bytes | None, stated: dict[str, bytes]) -> Any:
    """The scripted message in a record, or None where there is none."""
    kinds: tuple[type[Message], ...] = (*SCRIPTED, Noticed)
    for kind in kinds:
        if stated.get("ce_type") == kind.type_name().encode() and value and not value.startswith(GARBAGE):
            return evidence.codec.decode(value, stated.get("content-type"), kind)
    return None


def _cancels(evidence: Evidence) -> dict[str, int]:
    """The commands that somebody wanted to end, with the log's time of that in milliseconds."""
    records = evidence.records(evidence.names.cancels)
    return {evidence.decode(record, CancelRequested).command_id: record.timestamp for record in records}


def _heeded(evidence: Evidence) -> bool:
    """Whether nothing has kept an owner from reading a cancel before the command that came after it."""
    unread = {Boundary.READ_CANCELS, Boundary.READ_SCHEMAS, Boundary.READ_CONTROL, None}
    return not any(
        fault.boundary in unread and fault.kind in (Kind.UNAVAILABLE, Kind.OUTAGE) for fault in evidence.struck
    )


def _overrun(evidence: Evidence, message: Made | None) -> set[str]:
    """A handler that waits may be kept waiting beyond its timeout, by whatever goes wrong, as often as it is tried."""
    waits = isinstance(message, Mend) and (message.script.seconds or message.script.parcel)
    return {"timed_out"} if waits and evidence.struck else set()


def _taken_for_deadly(evidence: Evidence, end: CommandSettled) -> bool:
    """Whether it was set aside since its slice had lost its owner again and again, as if by its doing."""
    return end.failure is not None and end.failure.code == "crashed" and len(evidence.struck) >= 3


def _set_aside(evidence: Evidence) -> set[str]:
    """The messages that were taken for deadly."""
    letters = ((id_, letter) for id_, found in evidence.dead_letters.items() for letter in found)
    return {id_ for id_, letter in letters if letter.failure.code == "crashed" and len(evidence.struck) >= 3}


def _is_redrive(record: Record) -> bool:
    return "ce_generation" in dict(record.headers)


def _waited(record: Record) -> bool:
    return "ce_notbefore" in dict(record.headers)


def _ordered(done: _Done) -> bool:
    return done.on_time and isinstance(done.message, Grind)


def _tried_once(done: _Done) -> bool:
    return done.on_time and done.tried_once and not isinstance(done.message, Grind)


def _handler(message: Made) -> str:
    return f"workshop.<locals>.{type(message).__name__.lower()}"


def _marks(evidence: Evidence, kind: str) -> Counter[int]:
    kept = evidence.kept("front-desk", kind)
    return Counter(found for value in kept.values() for found in json.loads(value)["marks"])


def _compare(what: str, expected: Counter[Any], found: Counter[Any]) -> list[Violation]:
    """Lost and doubled ones."""
    return [
        Violation(f"{what} {each}: {found[each]} times, not {expected[each]}", (str(each),))
        for each in {**expected, **found}
        if expected[each] != found[each]
    ]
