"""A random load for the workshop, and what must have come of it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from random import Random
from typing import Any

from antiphon.app import App
from antiphon.broker import Outgoing, Record
from antiphon.catalogue import Installation
from antiphon.codec import Codec
from antiphon.envelope import Envelope, Origin, ReplyAddress, derived_id, headers, reply_headers, rfc3339
from antiphon.messages import Command
from antiphon.retry import Retry
from antiphon.testing.simulation.program import Arrival, Evidence, Program, Violation
from antiphon.testing.simulation.workshop import (
    TIMEOUT,
    Call,
    Mend,
    Noticed,
    Polish,
    Script,
    Scripted,
    front_desk,
    mark,
    workshop,
)
from antiphon.topics import partition_of

THINGS = ("kettle", "lamp", "clock", "chair", "radio", "bell")
Made = Mend | Polish


class WorkshopProgram(Program):
    """Commands of every kind that clients and strangers produce, within `window` seconds."""

    def __init__(self, random: Random, window: float) -> None:
        self._random, self._window = random, window
        self._retry = Retry(*random.choice((("200ms", "1s"), ("1s", "2s"), ("100ms",))))
        self.apps: list[App] = [workshop(self._retry), front_desk(self._retry)]

    # -- load ----------------------------------------------------------------------------------------------------

    def load(self, installation: Installation, codec: Codec, begin: float) -> Sequence[Arrival]:
        random = self._random
        self._installation = installation
        things = random.sample(THINGS, random.randint(2, len(THINGS)))
        arrivals = []
        for number in range(random.randint(8, 24)):
            at = random.uniform(0, self._window)
            kind = random.choice(Scripted)
            message = kind(thing=random.choice(things), number=number, script=self._script())  # type: ignore[call-arg]
            arrivals.append(Arrival(at, self._record(message, codec, begin + at, number)))
        return sorted(arrivals, key=lambda arrival: arrival.at)

    def _script(self) -> Script:
        random = self._random
        return Script(
            fails=random.choice((0, 0, 0, 0, 1, 1, 2, 3)),
            fatal=random.random() < 0.06,
            seconds=random.choice((0.0, 0.0, 0.05, 0.5, 2.0)) if random.random() > 0.04 else TIMEOUT + 1,
            notices=random.choice((0, 1, 1, 2, 4)),
            calls=random.choice((0, 0, 1, 2)),
            heavy=random.random() < 0.04,
        )

    def _record(self, message: Command[Any], codec: Codec, when: float, number: int) -> Outgoing:
        random, names = self._random, self._installation.names
        topic, value = names.commands(message.service), codec.encode(message)
        key = str(getattr(message, str(message.key_field))).encode()
        right = partition_of(key, self._installation.partitions)
        type_name = type(message).type_name()
        if random.random() < 0.15:  # a stranger, who knows neither ids nor our partitions
            partition = random.randrange(self._installation.partitions)
            return Outgoing(topic, partition, random.choice((key, None)), value, [("ce_type", type_name.encode())])
        id_ = derived_id("simulated", str(number))
        found = headers("client/simulated", type_name, id_, when, Origin(f"order-{number}"))
        if random.random() < 0.5:
            found += reply_headers(self._address(f"{number}/0"))
        elif random.random() < 0.05:
            found.append(("ce_replyto", b"nowhere/0"))
            found.append(("ce_replytoken", b"nobody"))
        if random.random() < 0.1:
            found.append(("ce_deadline", rfc3339(when + random.uniform(0.1, 4)).encode()))
        if random.random() < 0.04:
            value = b"\xc3\x01garbage"
        elif random.random() < 0.03:
            found = [("ce_type", b"antiphon.workshop.Unheard") if name == "ce_type" else (name, v) for name, v in found]
        partition = right if random.random() < 0.9 else random.randrange(self._installation.partitions)
        return Outgoing(topic, partition, key, value, found)

    def _address(self, token: str) -> ReplyAddress:
        partition = self._random.randrange(self._installation.partitions)
        return ReplyAddress(self._installation.names.replies, partition, None, token.encode())

    def again(self, arrival: Arrival, number: int) -> Outgoing:
        record = arrival.record
        renamed = [
            (name, value.split(b"/")[0] + b"/%d" % number if name == "ce_replytoken" and b"/" in value else value)
            for name, value in record.headers
        ]
        return record._replace(headers=renamed)

    # -- what must have come of it -------------------------------------------------------------------------------

    def audit(self, evidence: Evidence) -> list[Violation]:
        self._evidence = evidence
        found: list[Violation] = []
        done: defaultdict[str, list[tuple[tuple[int, int], int]]] = defaultdict(list)
        notices: dict[str, tuple[int, str]] = {}
        calls: dict[str, int] = {}
        for id_, copies in evidence.commands("workshop").items():
            message = self._read(copies[0])
            status = self._status(id_)
            expected = self._expected(copies, message)
            if status is not None and status not in expected:
                found.append(Violation(f"command {id_} ended {status}, not {' or '.join(sorted(expected))}", (id_,)))
            if message is None or status != "completed":
                continue
            done[message.thing].append((self._place(copies, message.thing), message.number))
            handler = f"workshop.<locals>.{'mend' if isinstance(message, Mend) else 'polish'}"
            for index in range(message.script.notices):
                output = derived_id(id_, "service/workshop", handler, str(index))
                notices[output] = mark(message.number, index), f"{message.thing}{index % 2}"
            for index in range(message.script.calls):
                output = derived_id(id_, "service/workshop", handler, str(message.script.notices + index))
                calls[output] = mark(message.number, index)
        found += self._audit_done(done)
        found += self._audit_notices(notices)
        return found + self._audit_calls(calls)

    def _read(self, record: Record) -> Made | None:
        for kind in Scripted:
            if self._evidence.is_a(record, kind) and record.value and not record.value.startswith(b"\xc3\x01garbage"):
                return self._evidence.decode(record, kind)  # type: ignore[no-any-return]
        return None

    def _status(self, id_: str) -> str | None:
        ends = self._evidence.settled.get(id_)
        return ends[-1].status if ends else None

    def _expected(self, copies: Sequence[Record], message: Made | None) -> set[str]:
        envelope = Envelope(copies[0])
        bad_address = (envelope.raw("ce_replyto") or b"").startswith(b"nowhere")
        if message is None or bad_address:
            late = {"timed_out"} if envelope.raw("ce_deadline") and not bad_address else set()
            return {"dead_lettered"} | late
        script = message.script
        found = {"completed"}
        if not self._succeeds(script):
            found = {"failed"}
        elif isinstance(message, Mend) and script.seconds > TIMEOUT:
            found = {"timed_out"}
        elif script.heavy:
            found = {"dead_lettered"}
        return found | {"timed_out"} if envelope.raw("ce_deadline") else found

    def _succeeds(self, script: Script) -> bool:
        return not script.fatal and script.fails <= len(self._retry.delays)

    def _place(self, copies: Sequence[Record], thing: str) -> tuple[int, int]:
        """Where the first copy lies in the partition of its key."""
        right = partition_of(thing.encode(), self._installation.partitions)
        places = [copy.offset for copy in copies if copy.partition == right]
        return right, min(places, default=-1)

    def _audit_done(self, done: dict[str, list[tuple[tuple[int, int], int]]]) -> list[Violation]:
        found = []
        kept = {key: json.loads(value)["numbers"] for key, value in self._evidence.kept("workshop", "Mending").items()}
        for thing in {*done, *kept}:
            expected = [number for _, number in sorted(done.get(thing, []))]
            seen = kept.get(thing, [])
            if seen != expected:
                what = "in another order than they came" if sorted(seen) == sorted(expected) else "lost or doubled"
                found.append(Violation(f"{thing}: {what}: done {seen}, to be done {expected}", (thing,)))
        return found

    def _audit_notices(self, expected: dict[str, tuple[int, str]]) -> list[Violation]:
        evidence = self._evidence
        published = evidence.records(evidence.names.events("notices"))
        ids = Counter(Envelope(record).id for record in published)
        found = _compare("notice", Counter(expected.keys()), ids)
        events = [evidence.decode(record, Noticed) for record in published]
        heard = Counter(event.mark for event in events)
        filed = Counter(event.mark for event in events if self._succeeds(event.script))
        found += _compare("notice heard", heard, self._marks("Heard"))
        found += _compare("notice filed", filed, self._marks("Filed"))
        fallen = [pair for pair in zip(published, events, strict=True) if not self._succeeds(pair[1].script)]
        unfiled = Counter(Envelope(record).id for record, _ in fallen)
        dead = Counter(
            letter.message_id
            for letters in evidence.dead_letters.values()
            for letter in letters
            if letter.service == "front-desk"
        )
        return found + _compare("dead letter of a notice", unfiled, dead)

    def _audit_calls(self, expected: dict[str, int]) -> list[Violation]:
        evidence = self._evidence
        sent = evidence.commands("front-desk")
        found = _compare("call", Counter(expected.keys()), Counter(sent.keys()))
        marks = Counter(evidence.decode(copies[0], Call).mark for copies in sent.values())
        return found + _compare("call taken", marks, self._marks("Called"))

    def _marks(self, kind: str) -> Counter[int]:
        kept = self._evidence.kept("front-desk", kind)
        return Counter(found for value in kept.values() for found in json.loads(value)["marks"])


def _compare(what: str, expected: Counter[Any], found: Counter[Any]) -> list[Violation]:
    """Lost and doubled ones."""
    return [
        Violation(f"{what} {each}: {found[each]} times, not {expected[each]}", (str(each),))
        for each in {**expected, **found}
        if expected[each] != found[each]
    ]
