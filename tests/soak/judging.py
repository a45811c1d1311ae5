"""The judgement: what the log says had to happen, against what has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from antiphon.lifecycle import CommandHasFailed
from antiphon.processing.agenda import AGENDA, QUEUED, SCHEDULED
from antiphon.processing.offsets import SourceOffsets
from antiphon.processing.parking import PARKED
from antiphon.processing.state import PROGRESS, kept_key, read_progress
from tests.integration.auditor import Found
from tests.integration.cluster import PARTITIONS, Cluster
from tests.soak.apps import FAILING, REGULAR, RETRIED, ReserveItem, Tally
from tests.soak.audit import BROKEN, CLOSINGS, ORDERS, STAGES, Accepted, SoakAuditor, Stage
from tests.soak.load import Acknowledged

LOST, DOUBLED, STUCK, DISORDERED, WRONG = "lost", "doubled", "stuck", "out of order", "wrong"
ORDERED = ReserveItem.type_name()
CLOCK = 0.002  # seconds: timestamps of records have milliseconds
VERDICTS = (LOST, DOUBLED, STUCK, DISORDERED, WRONG)


class Violation(NamedTuple):
    """What is wrong: one of VERDICTS, with which message, key or place, and how it is."""

    verdict: str
    what: str
    how: str


class Judge:
    """Looks at what the auditor has read, to the ends; each method is one promise."""

    def __init__(self, cluster: Cluster, auditor: SoakAuditor, acknowledged: Acknowledged) -> None:
        self._cluster, self._auditor, self._acknowledged = cluster, auditor, acknowledged
        self._entries = {service: auditor.entries(service) for service in {stage.service for stage in STAGES}}
        self._stuck = [*self._positions(), *self._leftovers()]

    def violations(self) -> list[Violation]:
        """All of them."""
        found = [
            *self._acknowledgements(),
            *self._ends(),
            *self._outputs(),
            *self._answers(),
            *self._failures(),
            *self._redrives(),
        ]
        return [*found, *self._order(), *self._times(), *self._transfers(), *self._states(), *self._stuck]

    # -- one promise each ------------------------------------------------------------------------------------------

    def _acknowledgements(self) -> Iterator[Violation]:
        """What the cluster has acknowledged to a sender lies in the log."""
        for id_ in self._acknowledged.ids - self._auditor.accepted.keys():
            yield Violation(LOST, f"command {id_}", "was acknowledged to its sender and is not in the log")
        for place in self._acknowledged.places - self._auditor.places:
            yield Violation(LOST, f"command at {place}", "was acknowledged to its sender and is not in the log")

    def _ends(self) -> Iterator[Violation]:
        """Every accepted message has come to one end, the right one."""
        for id_, accepted in self._auditor.accepted.items():
            ends = self._auditor.closed.get(id_, 0)
            what = f"{accepted.stage.name} message {id_}"
            if ends != 1:
                verdict = DOUBLED if ends > 1 else STUCK if self._stuck else LOST
                by = ", ".join(
                    f"{end.replica} at {end.finished_at:%T.%f}" for end in self._auditor.settled.get(id_, ())
                )
                yield Violation(verdict, what, f"({accepted.conduct}) has come to an end {ends} times {by}".rstrip())
            elif accepted.stage is not CLOSINGS:
                settled = self._auditor.settled[id_][0]
                if settled.status not in self._expected(id_, accepted):
                    yield Violation(WRONG, what, f"({accepted.conduct}) ended {settled.status}: {settled.failure}")
            effects = len(self._auditor.effects.get(id_, ()))
            if ends == 1 and effects != self._completed(id_, accepted):
                yield Violation(DOUBLED if effects else LOST, what, f"({accepted.conduct}) has {effects} events")
        for id_ in (self._auditor.closed.keys() | self._auditor.effects.keys()) - self._auditor.accepted.keys():
            yield Violation(WRONG, f"message {id_}", "has come to an end or had effects, and is not in the log")

    def _expected(self, id_: str, accepted: Accepted) -> set[str]:
        auditor = self._auditor
        usual = (
            "dead_lettered" if accepted.conduct == BROKEN else "failed" if accepted.conduct in FAILING else "completed"
        )
        late = {"timed_out"} if id_ in auditor.with_deadline else set()
        return {usual} | late | ({"cancelled"} if id_ in auditor.to_cancel else set())

    def _completed(self, id_: str, accepted: Accepted) -> bool:
        return accepted.stage is CLOSINGS or any(
            settled.status == "completed" for settled in self._auditor.settled[id_]
        )

    def _outputs(self) -> Iterator[Violation]:
        """Every order that was completed has led to one command to `payments`, written once."""
        sent = Counter(each.cause for each in self._auditor.accepted.values() if each.stage.name == "payments")
        for id_, accepted in self._auditor.accepted.items():
            if accepted.stage.name == "payments" and self._auditor.records[id_] != 1:
                yield Violation(DOUBLED, f"output {id_}", f"was written {self._auditor.records[id_]} times")
            if accepted.stage.name != "orders" or self._auditor.closed[id_] != 1:
                continue
            wanted = int(self._completed(id_, accepted))
            if sent[id_] != wanted:
                verdict = DOUBLED if sent[id_] > wanted else LOST
                yield Violation(verdict, f"orders message {id_}", f"has sent {sent[id_]} commands, not {wanted}")
        for id_, copies in self._auditor.forwarded.items():
            if copies > self._auditor.records[id_]:
                yield Violation(DOUBLED, f"message {id_}", f"was sent on {copies} times")

    def _answers(self) -> Iterator[Violation]:
        """Whoever asked was answered once for each record that asked."""
        for token, ids in self._auditor.asked.items():
            found = self._auditor.answers[token]
            if found != len(ids):
                verdict = DOUBLED if found > len(ids) else LOST
                yield Violation(verdict, f"answer to {ids[0]}", f"came {found} times, asked for {len(ids)} times")

    def _failures(self) -> Iterator[Violation]:
        """Every failure has one event, and one dead letter unless it was never started."""
        letters = Counter(letter.message_id for letter in self._auditor.dead_letters)
        events = Counter(
            found.event.command_id
            for found in self._auditor.events[CommandHasFailed]
            if isinstance(found.event, CommandHasFailed)
        )
        for id_, ends in self._auditor.settled.items():
            statuses = [end.status for end in ends]
            wanted = sum(s in ("failed", "dead_lettered") for s in statuses), sum(s != "completed" for s in statuses)
            if (letters[id_], events[id_]) != wanted:
                how = f"ended {statuses} with {letters[id_]} dead letters and {events[id_]} failure events"
                verdict = DOUBLED if letters[id_] > wanted[0] or events[id_] > wanted[1] else LOST
                yield Violation(verdict, f"message {id_}", how)

    def _redrives(self) -> Iterator[Violation]:
        """Every dead letter of an `ordered` command was dealt with once, and led to one end if it was redriven."""
        auditor = self._auditor
        ends = Counter((id_, end.generation) for id_, found in auditor.settled.items() for end in found)
        letters = {(each.message_id, each.generation) for each in auditor.dead_letters if each.message_type == ORDERED}
        for id_, generation in letters | auditor.dead_letters_closed.keys():
            outcomes = auditor.dead_letters_closed.get((id_, generation), [])
            again = ends[id_, generation + 1]
            if len(outcomes) != 1 or again != outcomes.count("redriven"):
                verdict = STUCK if not outcomes else DOUBLED if len(outcomes) > 1 or again > 1 else LOST
                how = f"was closed as {outcomes}, after which the command ended {again} times"
                yield Violation(verdict, f"dead letter {generation} of {id_}", how)

    def _order(self) -> Iterator[Violation]:
        """Of each key, messages take effect in the order in which they lie in the log, each counted once.

        What was tried again or had its time may come later, unless its class is `ordered`.
        """
        for (stage, key), ids in self._auditor.order.items():
            effects = self._known_effects(stage, key)
            strict = stage == "orders" and key.startswith(REGULAR)
            causes = [found.cause for found in effects if strict or self._keeps_its_place(found.cause)]
            expected = [id_ for id_ in ids if self._auditor.effects.get(id_) and (strict or self._keeps_its_place(id_))]
            if causes != expected and Counter(causes) == Counter(expected):
                yield Violation(DISORDERED, f"{stage} of {key}", _first_difference(causes, expected))
            total = 0
            for position, found in enumerate(effects, 1):
                total += self._auditor.accepted[found.cause].amount
                told = found.event.position, found.event.total  # type: ignore[attr-defined]
                if told != (position, total):
                    how = f"event {position}, of {found.cause}, says {told}; {(position, total)} was due"
                    yield Violation(DOUBLED if told > (position, total) else LOST, f"{stage} of {key}", how)
                    break

    def _known_effects(self, stage: str, key: str) -> list[Found]:
        """As they lie in the log; those of a message that nobody has sent are told of elsewhere."""
        return [each for each in self._auditor.effects_of.get((stage, key), ()) if each.cause in self._auditor.accepted]

    def _keeps_its_place(self, id_: str) -> bool:
        accepted = self._auditor.accepted[id_]
        return accepted.conduct not in RETRIED and (accepted.stage is not ORDERS or not accepted.not_before)

    def _times(self) -> Iterator[Violation]:
        """Nothing was started, or sent, before its time."""
        for id_, accepted in self._auditor.accepted.items():
            if accepted.stage is ORDERS and self._auditor.closed[id_]:
                at = self._auditor.settled[id_][0].started_at.timestamp()
            else:
                at = self._auditor.sent_at.get(id_, accepted.not_before)
            if at < accepted.not_before - CLOCK:
                yield Violation(WRONG, f"message {id_}", f"came {accepted.not_before - at:.3f} s before its time")

    def _leftovers(self) -> Iterator[Violation]:
        """Nothing waits in the state any more."""
        for service, entries in self._entries.items():
            for (partition, key), value in entries.items():
                if key.startswith((AGENDA, SCHEDULED, QUEUED, PARKED)):
                    yield Violation(STUCK, f"entry {key!r} of {service}, slice {partition}", f"is {value[:200]!r}")

    def _transfers(self) -> Iterator[Violation]:
        """Every completed charge that needed the bank has been there, under its own key."""
        path = self._cluster.journal_path.with_name("bank")
        keys = {line.split()[0] for line in path.read_text().splitlines()} if path.exists() else set()
        for id_, ends in self._auditor.settled.items():
            accepted = self._auditor.accepted.get(id_)
            done = accepted is not None and accepted.to_bank and ends[0].status == "completed"
            if done and f"{id_}/transfer" not in keys:
                yield Violation(LOST, f"transfer of {id_}", "is not in the bank's file, and the command completed")

    def _states(self) -> Iterator[Violation]:
        """The state of each key counts what has taken effect."""
        stages = {stage.name: stage for stage in STAGES}
        for name, key in self._auditor.order.keys() | self._auditor.effects_of.keys():
            yield from self._state(stages[name], key, self._known_effects(name, key))

    def _state(self, stage: Stage, key: str, effects: list[Found]) -> Iterator[Violation]:
        entry = kept_key(stage.tally, key.encode())
        entries = self._entries[stage.service]
        values = [entries[at, entry] for at in range(PARTITIONS) if (at, entry) in entries]
        count, total = len(effects), sum(self._auditor.accepted[found.cause].amount for found in effects)
        kept = [_counted(stage.tally.model_validate_json(value)) for value in values]
        if kept != [(count, total)] * bool(effects):
            verdict = DOUBLED if sum(counted for counted, _ in kept) > count else LOST
            yield Violation(verdict, f"state of {stage.name}, {key}", f"is {kept}; it should be {(count, total)}")

    def _positions(self) -> Iterator[Violation]:
        """Every slice is through with everything that lies in its sources."""
        names = self._cluster.names
        sources = {
            "orders": (names.commands("orders"), names.events("charges")),
            "payments": (names.commands("payments"),),
        }
        for service, topics in sources.items():
            for partition in range(PARTITIONS):
                entry = self._entries[service].get((partition, PROGRESS))
                found = {} if entry is None else read_progress(entry)[0]
                for topic in topics:
                    yield from self._position(topic, partition, found.get(topic, SourceOffsets(0)))

    def _position(self, topic: str, partition: int, found: SourceOffsets) -> Iterator[Violation]:
        last = self._auditor.last.get((topic, partition), -1)
        if found.contiguous <= last or found.ranges():
            how = f"stands at {found.contiguous} with {found.ranges()[:3]} done beyond it; its last record is {last}"
            yield Violation(STUCK, f"{topic}[{partition}]", how)


def _counted(tally: Tally) -> tuple[int, int]:
    return tally.count, tally.total


def _first_difference(found: list[str], expected: list[str]) -> str:
    at = next(number for number, (is_, due) in enumerate(zip(found, expected, strict=True)) if is_ != due)
    return f"effect {at + 1} is of {found[at]}; that of {expected[at]} was due"
