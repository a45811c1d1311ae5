"""The agency under a random load, with somebody who mends its code and tends to what is parked."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from random import Random

from antiphon.app import App
from antiphon.broker import Outgoing
from antiphon.catalogue import Installation
from antiphon.codec import Codec
from antiphon.envelope import derived_id
from antiphon.instances import PARKED_INSTANCE, ApprovalDecided, ResetRequested, ResumeRequested, TerminateRequested
from antiphon.messages import Event
from antiphon.processing.worker import Worker
from antiphon.testing.simulation.agency import agency, bureau
from antiphon.testing.simulation.agency_audit import AgencyAudit
from antiphon.testing.simulation.agency_load import AgencyLoad, book
from antiphon.testing.simulation.agency_messages import DECIDES, TaskDone
from antiphon.testing.simulation.agency_traveller import Around
from antiphon.testing.simulation.agency_watch import Watch
from antiphon.testing.simulation.histories import open_questions
from antiphon.testing.simulation.program import Arrival, Evidence, Program, Violation


class AgencyProgram(Program):
    """Trips of every kind within `window` seconds."""

    def __init__(self, random: Random, window: float) -> None:
        self._random, self._around = random, Around()
        self._trips = book(random, window)
        self._around.broken |= {trip.name for trip in self._trips if trip.spoiled == "broken"}
        self._around.heavy |= {trip.name for trip in self._trips if trip.spoiled == "heavy"}
        self.apps: list[App] = [agency(self._around), bureau()]
        self._watch = Watch(self._around, self.apps[0], {trip.id for trip in self._trips if trip.spoiled})
        self._tended: set[bytes] = set()
        self._resets: Counter[str] = Counter()
        self._decided, self._salt = 0, random.random()

    def load(self, installation: Installation, codec: Codec, begin: float) -> Sequence[Arrival]:
        self._load = AgencyLoad(self._random, self._trips, installation, codec)
        return self._load.arrivals(begin)

    def again(self, arrival: Arrival, number: int) -> Outgoing:
        record = arrival.record
        renamed = [
            (name, value.split(b"/")[0] + b"/%d" % number if name == "ce_replytoken" else value)
            for name, value in record.headers
        ]
        return record._replace(headers=renamed)

    def begin(self, evidence: Callable[[], Evidence]) -> None:
        self._watch.begin(evidence)

    def inspect(self, worker: Worker) -> Sequence[Violation]:
        return self._watch.inspect(worker)

    def tend(self, evidence: Evidence, now: float) -> Sequence[Outgoing]:
        """What is parked by a mistake in the code goes on when that is mended: resumed, reset or ended. Questions are
        decided."""
        found: list[Outgoing] = []
        names = {trip.id: trip.name for trip in self._trips}
        for (_, key), value in evidence.state("agency").items():
            id_, named = key.split(b"/")[1].decode() if b"/" in key else "", key + value
            if key.startswith(PARKED_INSTANCE) and named not in self._tended and id_ in names:
                self._tended.add(named)
                found += self._tend(id_, names[id_], json.loads(value), now)
        return found + self._decide(evidence, now)

    def _tend(self, id_: str, name: str, parked: dict[str, int], now: float) -> list[Outgoing]:
        self._around.mend(name)
        chance, when = Random(f"{self._salt} {name} {len(self._tended)}"), datetime.fromtimestamp(now, UTC)
        choice = chance.random()
        order: Event = ResumeRequested(requested_at=when)
        if choice < 0.15:
            order = TerminateRequested(requested_at=when, by=DECIDES)
        elif choice < 0.5 and parked["turn"]:
            order = ResetRequested(turn=chance.randint(1, parked["turn"]), requested_at=when, by=DECIDES)
            self._resets[id_] += 1
        record = self._load.for_instance(id_, name, order, derived_id(id_, "order", str(len(self._tended))), now)
        return [record, record] if chance.random() < 0.3 else [record]

    def _decide(self, evidence: Evidence, now: float) -> list[Outgoing]:
        """Questions that are open, each as often as it is seen to be."""
        found = []
        for number, asked, id_, run in open_questions(evidence, "agency"):
            self._decided += 1
            proposal = TaskDone(word=DECIDES).model_dump_json() if asked.accepts else ""
            decision = ApprovalDecided(
                run=run,
                number=asked.number,
                approved=True,
                by=DECIDES,
                role="boss",
                proposal=proposal,
                decided_at=datetime.fromtimestamp(now, UTC),
            )
            decided = derived_id(id_, "decided", str(self._decided))
            found.append(self._load.for_instance(id_, id_, decision, decided, now)._replace(partition=number))
        return found

    def audit(self, evidence: Evidence) -> list[Violation]:
        for trip in self._trips:
            self._around.mend(trip.name)
        resets = self._resets + Counter(
            id_ for id_, order in self._load.ordered.items() if isinstance(order, ResetRequested)
        )
        ordered = {*self._load.ordered, *(trip.id for trip in self._trips if trip.spoiled)}
        return [*self._watch.found, *AgencyAudit(evidence, self._trips, ordered, resets).violations()]
