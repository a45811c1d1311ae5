"""A random load for the agency: trips that clients ask for, what is told to them, cancels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any

from antiphon.broker import Headers, Outgoing
from antiphon.catalogue import Installation
from antiphon.codec import Codec
from antiphon.envelope import Origin, ReplyAddress, derived_id, headers, reply_headers, rfc3339
from antiphon.instances import INSTANCE, ResetRequested, TerminateRequested
from antiphon.lifecycle import CancelRequested
from antiphon.messages import Command, Event
from antiphon.processing.cancels import cancel_record
from antiphon.testing.simulation.agency_messages import (
    DECIDES,
    SIGNALS,
    Errand,
    Hark,
    Hurry,
    Journey,
    Node,
    Persist,
    Spoken,
    plan_text,
)
from antiphon.testing.simulation.agency_plans import Planner, nodes
from antiphon.testing.simulation.program import Arrival
from antiphon.topics import partition_of

MOST = 6  # trips


@dataclass(frozen=True, slots=True)
class Booked:
    """A trip that somebody asks for: its name, the id of its instance, its trees, and what is wrong with its code."""

    name: str
    id: str
    trees: tuple[Node, ...]
    message: Command[Any]
    spoiled: str
    at: float

    @property
    def told(self) -> set[str]:
        """The signals that it waits for, or may."""
        kinds = {found.kind for tree in self.trees for found in nodes(tree)}
        return (kinds & SIGNALS.keys()) | ({"declined"} if "perhaps" in kinds else set())


def book(random: Random, window: float) -> list[Booked]:
    """The trips of a seed."""
    planner, found = Planner(random), []
    for number in range(random.randint(2, MOST)):
        name, kind = f"trip{number}", random.choice((Journey, Journey, Journey, Errand, Hurry, Persist, Hark))
        spoiled = random.choice(("broken", "heavy", "astray")) if kind is Journey and random.random() < 0.35 else ""
        trees = planner.rounds(signals=True, spoiled=spoiled) if kind is Journey else planner.one(hears=kind is Hark)
        message = kind(name=name, plan=plan_text(trees))
        at = random.uniform(0, window * 0.8)
        found.append(Booked(name, derived_id("trips", name), tuple(trees), message, spoiled, at))
    return found


class AgencyLoad:
    """What is produced for these trips."""

    def __init__(self, random: Random, trips: Sequence[Booked], installation: Installation, codec: Codec) -> None:
        self._random, self._trips, self._codec = random, trips, codec
        self._names, self._partitions = installation.names, installation.partitions
        self.ordered: dict[str, Event] = {}  # by instance

    def arrivals(self, begin: float) -> Sequence[Arrival]:
        """All of it, in the order of its time; `begin` is in seconds since 1970."""
        found = [arrival for trip in self._trips for arrival in self._of_trip(trip, begin)]
        for trip in (trip for trip in self._trips if not trip.spoiled):  # those are ordered about when they are mended
            for at, order in self._orders(trip, begin):
                self.ordered[trip.id] = order
                record = self.for_instance(trip.id, trip.name, order, derived_id(trip.id, "ordered"), begin + at)
                found.append(Arrival(at, record))
        return sorted(found, key=lambda arrival: arrival.at)

    def _of_trip(self, trip: Booked, begin: float) -> Iterator[Arrival]:
        random, key = self._random, trip.name.encode()
        begins = self._start(trip, begin + trip.at)
        yield Arrival(trip.at, begins)
        if random.random() < 0.3:
            at = trip.at + random.choice((0.1, 1.0, 5.0)) * random.random()
            again = [
                (name, b"%b-again/0" % key if name == "ce_replytoken" else value) for name, value in begins.headers
            ]
            yield Arrival(at, begins._replace(headers=again))
        for kind in sorted(trip.told):
            at = trip.at + random.choice((0.01, 1.0, 5.0)) * random.uniform(0.2, 1.5)
            event = SIGNALS[kind](word=f"{trip.name} {kind}")
            record = self.for_instance(trip.id, trip.name, event, derived_id(trip.id, kind), begin + at)
            yield Arrival(at, record)
            if random.random() < 0.3:
                yield Arrival(at + random.uniform(0, 3), record)
        if isinstance(trip.message, Hark):
            at = trip.at + random.choice((0.1, 1.0, 3.0)) * random.random()
            yield Arrival(at, self._spoken(trip, begin + at))
        if random.random() < 0.12:
            at = max(0.0, trip.at + random.choice((-0.5, 0.05, 0.5, 2.0, 6.0)))
            yield Arrival(at, self._cancel(trip, begin + at))

    def _orders(self, trip: Booked, begin: float) -> Iterator[tuple[float, Event]]:
        """What somebody orders while it runs, with the time of that: a new run, or its end."""
        random = self._random
        if random.random() < 0.1:
            at = trip.at + random.choice((0.2, 1.0, 5.0)) * random.random()
            when = datetime.fromtimestamp(begin + at, UTC)
            if random.random() < 0.6:
                yield at, ResetRequested(turn=random.choice((1, 1, 2, 3)), by=DECIDES, requested_at=when)
            else:
                yield at, TerminateRequested(by=DECIDES, requested_at=when)

    def _start(self, trip: Booked, when: float) -> Outgoing:
        random, key = self._random, trip.name.encode()
        found = headers("client/simulated", type(trip.message).type_name(), trip.id, when, Origin(trip.name))
        if random.random() < 0.7:
            partition = random.randrange(self._partitions)
            found += reply_headers(ReplyAddress(self._names.replies, partition, None, b"%b/0" % key))
        if random.random() < 0.1:
            found.append(("ce_notbefore", rfc3339(when + random.uniform(-1, 5)).encode()))
        right = partition_of(key, self._partitions)
        if not trip.told and random.random() < 0.1:
            right = random.randrange(self._partitions)
        value = self._codec.encode(trip.message)
        return Outgoing(self._names.commands("agency"), right, key, value, found)

    def for_instance(self, instance: str, key: str, event: Event, id_: str, when: float) -> Outgoing:
        """A record that tells an instance something; `key` is that of its command."""
        stated: Headers = headers("client/simulated", type(event).type_name(), id_, when, Origin(key))
        stated.append((INSTANCE, instance.encode()))
        partition = partition_of(key.encode(), self._partitions)
        return Outgoing(self._names.commands("agency"), partition, key.encode(), self._codec.encode(event), stated)

    def _spoken(self, trip: Booked, when: float) -> Outgoing:
        event, key = Spoken(word=f"{trip.name} heard"), trip.name.encode()
        stated = headers("client/simulated", Spoken.type_name(), derived_id(trip.id, "heard"), when, Origin(trip.name))
        partition = partition_of(key, self._partitions)
        return Outgoing(self._names.events("hearsay"), partition, key, self._codec.encode(event), stated)

    def _cancel(self, trip: Booked, when: float) -> Outgoing:
        asked = CancelRequested(command_id=trip.id, service="agency", requested_at=datetime.fromtimestamp(when, UTC))
        key = trip.name.encode()
        return cancel_record(asked, self._names.cancels, partition_of(key, self._partitions), key)
