"""A random load for the workshop: commands of every kind that clients and strangers produce, cancels, redrives."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any

from antiphon.broker import Headers, Outgoing
from antiphon.catalogue import Installation
from antiphon.codec import Codec
from antiphon.envelope import JSON, Origin, ReplyAddress, derived_id, headers, reply_headers, rfc3339
from antiphon.lifecycle import CancelRequested, DeadLetter
from antiphon.messages import Command
from antiphon.testing.simulation.program import Arrival
from antiphon.testing.simulation.workshop import SCRIPTED, TIMEOUT, Script
from antiphon.topics import partition_of

THINGS = ("kettle", "lamp", "clock", "chair", "radio", "bell")
GARBAGE = b"\xc3\x01garbage"
REPLY = ("ce_replyto", "ce_replytoken")
NOT_AGAIN = ("ce_handler", "ce_generation", "ce_deadline", "ce_notbefore", "ce_forwarded")


class WorkshopLoad:
    """Commands within `window` seconds."""

    def __init__(self, random: Random, window: float, installation: Installation, codec: Codec) -> None:
        self._random, self._window, self._codec = random, window, codec
        self._names, self._partitions = installation.names, installation.partitions

    def arrivals(self, begin: float) -> Sequence[Arrival]:
        """All of them, in the order of their time; `begin` is in seconds since 1970."""
        random = self._random
        things = random.sample(THINGS, random.randint(2, len(THINGS)))
        arrivals = []
        for number in range(random.randint(8, 24)):
            at = random.uniform(0, self._window)
            kind = random.choice(SCRIPTED)
            message = kind(thing=random.choice(things), number=number, script=self._script())  # type: ignore[call-arg]
            arrivals.append(Arrival(at, self._record(message, begin + at, number)))
            if random.random() < 0.1:
                arrivals.append(self._cancel(message, number, at, begin))
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
            later=random.choice((0.0, 0.0, 0.5, 6.0)),
            parcel=random.random() < 0.3,
        )

    def _record(self, message: Command[Any], when: float, number: int) -> Outgoing:
        random = self._random
        topic, key = self._names.commands(message.service), self._key(message)
        type_name = type(message).type_name()
        if random.random() < 0.15:  # a stranger, who knows neither ids nor our partitions
            stated: Headers = [("ce_type", type_name.encode())]
            given = random.choice((key, None))
            return Outgoing(topic, random.randrange(self._partitions), given, self._codec.encode(message), stated)
        found = headers("client/simulated", type_name, _id(number), when, Origin(f"order-{number}"))
        found += self._extras(number, when)
        value = self._codec.encode(message)
        if random.random() < 0.04:
            value = GARBAGE
        elif random.random() < 0.03:
            found = [("ce_type", b"antiphon.workshop.Unheard") if name == "ce_type" else (name, v) for name, v in found]
        right = partition_of(key, self._partitions)
        return Outgoing(
            topic, right if random.random() < 0.9 else random.randrange(self._partitions), key, value, found
        )

    def _extras(self, number: int, when: float) -> Headers:
        random = self._random
        found: Headers = []
        if random.random() < 0.5:
            partition = random.randrange(self._partitions)
            found += reply_headers(ReplyAddress(self._names.replies, partition, None, b"%d/0" % number))
        elif random.random() < 0.05:
            found += [("ce_replyto", b"nowhere/0"), ("ce_replytoken", b"nobody")]
        if random.random() < 0.1:
            found.append(("ce_deadline", rfc3339(when + random.uniform(0.1, 4)).encode()))
        if random.random() < 0.1:
            found.append(("ce_notbefore", rfc3339(when + random.uniform(-1, 8)).encode()))
        return found

    def _key(self, message: Command[Any]) -> bytes:
        return str(getattr(message, str(message.key_field))).encode()

    def _cancel(self, message: Command[Any], number: int, at: float, begin: float) -> Arrival:
        """As the gateway writes it: before its command has come, while it waits or runs, or when it has ended."""
        when = max(0.0, at + self._random.choice((-0.5, 0.05, 0.3, 2.0, 6.0)))
        requested = datetime.fromtimestamp(begin + when, UTC)
        asked = CancelRequested(command_id=_id(number), service=message.service, requested_at=requested)
        key = self._key(message)
        stated: Headers = [("ce_type", CancelRequested.type_name().encode()), JSON]
        partition = partition_of(key, self._partitions)
        return Arrival(when, Outgoing(self._names.cancels, partition, key, asked.model_dump_json().encode(), stated))


def redrive(letter: DeadLetter, service_topic: str, *, discard: bool) -> Outgoing:
    """A dead letter sent back to its owner; its script is edited, so that it succeeds now."""
    leave = (*NOT_AGAIN, *REPLY) if letter.failure.code == "bad-reply-address" else NOT_AGAIN
    stated = [(header.name, header.value) for header in letter.record_headers if header.name not in leave]
    if not any(header.name == "ce_id" for header in letter.record_headers):
        stated.append(("ce_id", letter.message_id.encode()))  # it was derived from where the record lay
    if letter.handler is not None:
        stated.append(("ce_handler", letter.handler.encode()))
    stated.append(("ce_generation", b"%d" % (letter.generation + 1)))
    if discard:
        stated.append(("ce_discard", b"1"))
    return Outgoing(service_topic, letter.partition, letter.record_key, letter.record_value, stated)


def unanswerable(record: Outgoing) -> Outgoing:
    """The same for somebody who cannot be where he says."""
    stated = [header for header in record.headers if header[0] not in REPLY]
    return record._replace(headers=[*stated, ("ce_replyto", b"nowhere/1"), ("ce_replytoken", b"nobody")])


def edited(record: Outgoing, message: Any) -> Outgoing:
    """The same with a script that does not fail, as JSON."""
    fields = json.loads(message.model_dump_json())
    fields["script"] |= {"fails": 0, "fatal": False, "heavy": False, "seconds": 0.0}
    stated = [header for header in record.headers if header[0] != "content-type"]
    return record._replace(value=json.dumps(fields).encode(), headers=[*stated, JSON])


def _id(number: int) -> str:
    return derived_id("simulated", str(number))
