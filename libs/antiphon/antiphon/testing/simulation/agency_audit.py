"""What must have come of the agency's trips: their answers, their effects, their histories."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from antiphon.envelope import Envelope
from antiphon.errors import AntiphonError
from antiphon.instances import HISTORY, JOINED, PARKED_INSTANCE, PENDING_INPUT
from antiphon.lifecycle import CancelRequested, CommandSettled
from antiphon.testing.simulation.agency_load import Booked
from antiphon.testing.simulation.agency_messages import (
    TRIPS,
    Hurry,
    Journey,
    Note,
    Substitute,
    Task,
    Trip,
    Undo,
    rounds_of,
)
from antiphon.testing.simulation.agency_plans import accepts, answered, failures
from antiphon.testing.simulation.histories import RunHistory, finished
from antiphon.testing.simulation.history_audit import audit_order, audit_signals, audit_timers
from antiphon.testing.simulation.program import Evidence, Violation
from antiphon.workflow.history import read
from antiphon.workflow.instance import Identity, Instance
from antiphon.workflow.kernel import close_instance, rebuild
from antiphon.workflow.turns import Ending, KernelOptions

FAILING = (Ending.FAILED, Ending.CANCELLED, Ending.TIMED_OUT, Ending.AGAIN)
LEFT = (HISTORY, PENDING_INPUT, PARKED_INSTANCE, JOINED)
STATUS = {
    Ending.COMPLETED: "completed",
    Ending.FAILED: "failed",
    Ending.CANCELLED: "cancelled",
    Ending.TIMED_OUT: "timed_out",
}


class AgencyAudit:
    """Of one seed. `ordered` are the instances that somebody may have ordered about, `resets` is how often which of
    them was to begin a new run."""

    def __init__(
        self, evidence: Evidence, trips: Sequence[Booked], ordered: Set[str], resets: Mapping[str, int]
    ) -> None:
        self._evidence, self._resets = evidence, resets
        self._ordered = ordered
        self._spoiled = {trip.id for trip in trips if trip.spoiled}
        self._workflows = {workflow.message.type_name(): workflow for workflow in evidence.apps[0].workflows}
        self._runs = finished(evidence)
        self._endings: dict[str, Ending | None] = {}  # trip, round and attempt -> how that came to an end
        self._trips = self._find_trips()
        self._ids = {trip.name: id_ for id_, trip in self._trips.items()}
        taken_for_deadly = (each for letters in evidence.dead_letters.values() for each in letters)
        self._lenient = any(letter.failure.code == "crashed" for letter in taken_for_deadly)

    def violations(self) -> list[Violation]:
        """All of them."""
        found = [each for id_, trip in self._trips.items() for each in self._audit_end(id_, trip)]
        found += [each for run in self._runs for each in self._audit_run(run)]
        found += audit_order(self._evidence, "agency", self._runs)
        found += audit_signals(self._runs)
        found += audit_timers(self._evidence, "agency", self._runs)
        return (
            found
            + self._audit_left()
            + self._audit_parked()
            + self._audit_tasks()
            + self._audit_effects()
            + self._audit_undone()
        )

    def _find_trips(self) -> dict[str, Trip]:
        evidence, found = self._evidence, {}
        for id_, copies in evidence.commands("agency").items():
            for kind in TRIPS:
                if evidence.is_a(copies[0], kind):
                    found[id_] = evidence.decode(copies[0], kind)
        return found

    def _root(self, id_: str) -> str:
        """The trip that it belongs to: an errand's is that for which it is done."""
        return self._ids[self._trips[id_].name.split(".")[0]]

    def _end(self, id_: str) -> CommandSettled | None:
        ends = self._evidence.settled.get(id_)
        return ends[-1] if ends else None

    # -- answers ---------------------------------------------------------------------------------------------------

    def _audit_end(self, id_: str, trip: Trip) -> Iterable[Violation]:
        end = self._end(id_)
        if end is None or self._lenient:
            return  # it is said elsewhere
        tree = rounds_of(trip.plan)[-1]
        may = set().union(*map(failures, rounds_of(trip.plan)))
        if end.status == "completed":
            yield from self._audit_answer(id_, trip, end)
        elif end.status == "failed":
            assert end.failure is not None
            if end.failure.error_class not in may and not self._ended_by_order(id_, end):
                what = f"{end.failure.error_class}: {end.failure.message}; it may fail with {sorted(may)}"
                yield Violation(f"{trip.name} has failed with {what}, tree {tree.to_list()}", (id_, trip.name))
        elif end.status == "cancelled":
            if id_ not in self._cancelled():
                yield Violation(f"{trip.name} was cancelled, and nobody wanted that", (id_, trip.name))
        elif end.status != "timed_out" or not isinstance(trip, Hurry):
            yield Violation(f"{trip.name} ended as {end.status}", (id_, trip.name))

    def _audit_answer(self, id_: str, trip: Trip, end: CommandSettled) -> Iterable[Violation]:
        value = json.loads(json.loads(end.result or "{}")["found"])
        rounds = rounds_of(trip.plan)
        places = [f"{trip.name}.{len(rounds) - 1}.{attempt}" for attempt in (1, 2)]
        place = next((place for place in places if accepts(rounds[-1], value, place)), None)
        if place is None:
            yield Violation(f"{trip.name} has come to {value}, plan {rounds[-1].to_list()}", (id_, trip.name))
            return
        done = self._tasks()
        for name in answered(rounds[-1], value, place):
            if not any(self._completed(task) for task in done.get(name, ())):
                yield Violation(f"{trip.name} has an answer of task {name}, which was not completed", (name,))

    def _completed(self, id_: str) -> bool:
        end = self._end(id_)
        return end is not None and end.status == "completed"

    def _ended_by_order(self, id_: str, end: CommandSettled) -> bool:
        assert end.failure is not None
        return end.failure.code == "terminated" and id_ in self._ordered

    def _cancelled(self) -> set[str]:
        wanted = self._evidence.messages(self._evidence.names.cancels, CancelRequested)
        return {each.command_id for each in wanted}

    # -- histories -------------------------------------------------------------------------------------------------

    def _audit_run(self, run: RunHistory) -> Iterable[Violation]:
        if not run.whole:
            yield Violation(f"run {run.number} of {run.instance} has parts {run.parts} of a history", (run.instance,))
            return
        try:
            instance = self._rebuilt(run)
        except AntiphonError as error:
            yield Violation(f"run {run.number} of {run.instance} cannot be fed again: {error}", (run.instance,))
            return
        self._endings[self._place(run)] = None if instance.outcome is None else instance.outcome.ending
        outcome, last = instance.outcome, max(each.number for each in self._runs if each.instance == run.instance)
        close_instance(instance)
        end = self._end(run.instance)
        if outcome is None or end is None:
            if self._root(run.instance) not in self._ordered:
                yield Violation(f"run {run.number} of {run.instance} has a history without an end", (run.instance,))
            return
        goes_on = outcome.ending in (Ending.AGAIN, Ending.CONTINUED)
        if goes_on and run.number == last and end.status not in ("cancelled", "failed"):
            yield Violation(f"run {run.number} of {run.instance} goes on and is the last one", (run.instance,))
        if not goes_on and STATUS[outcome.ending] != end.status:
            yield Violation(f"{run.instance} has ended as {end.status}, its history as {outcome}", (run.instance,))

    def _place(self, run: RunHistory) -> str:
        trip, start = self._trips[run.instance], read(run.records[0]).input
        round_ = self._evidence.codec.decode(start.payload, None, Journey).round if isinstance(trip, Journey) else 0
        return f"{trip.name}.{round_}.{start.number}"

    def _rebuilt(self, run: RunHistory) -> Instance:
        codec = self._evidence.codec
        options = KernelOptions(lambda value, kind: codec.decode(value, None, kind))
        workflow = self._workflows[type(self._trips[run.instance]).type_name()]
        return rebuild(workflow, Identity(run.instance, run.number), options, run.records)

    def _audit_left(self) -> list[Violation]:
        found = []
        for _, key in self._evidence.state("agency"):
            if key.startswith(LEFT):
                id_ = key.split(b"/")[1].decode()
                if self._end(id_) is not None:
                    found.append(Violation(f"{key!r} is left of an instance that has ended", (id_,)))
        return found

    def _audit_parked(self) -> list[Violation]:
        found = []
        for record in self._evidence.records(self._evidence.names.state("agency")):
            if (record.key or b"").startswith(PARKED_INSTANCE) and record.value is not None:
                id_ = (record.key or b"").removeprefix(PARKED_INSTANCE).decode()
                if id_ not in self._spoiled:
                    why = json.loads(record.value)["why"]
                    found.append(Violation(f"instance {id_} was parked: {why}", (id_,)))
        return found

    # -- effects ---------------------------------------------------------------------------------------------------

    def _named(self, kind: type[Any]) -> list[tuple[Any, str, int]]:
        """The bureau's commands of a kind: message, id, offset."""
        copies = self._evidence.commands("bureau").values()
        found = [records[0] for records in copies if self._evidence.is_a(records[0], kind)]
        return [(self._evidence.decode(record, kind), Envelope(record).id, record.offset) for record in found]

    def _tasks(self) -> Mapping[str, list[str]]:
        found: defaultdict[str, list[str]] = defaultdict(list)
        for kind in (Task, Substitute):
            for task, id_, _ in self._named(kind):
                found[task.name].append(id_)
        return found

    def _audit_tasks(self) -> list[Violation]:
        """A call sends one command; one that is tried again sends one for each try."""
        found = []
        hopeless = {task.name for task, _, _ in self._named(Task) if task.manner == "hopeless"}
        for name, ids in self._tasks().items():
            most = (3 if name in hopeless else 1) * self._runs_of(name)
            if len(ids) > most:
                found.append(Violation(f"task {name} was sent {len(ids)} times, at most {most} are right", (name,)))
        return found

    def _runs_of(self, name: str) -> int:
        """How often it may be done in one attempt of one round: what is reset does some things again."""
        return 1 + self._resets.get(self._ids[name.split(".")[0]], 0)

    def _audit_effects(self) -> list[Violation]:
        """What was completed took effect once."""
        right: defaultdict[str, list[str]] = defaultdict(list)
        for kind in (Task, Substitute, Note, Undo):
            for each, id_, _ in self._named(kind):
                if self._completed(id_):
                    right[each.name if isinstance(each, Task | Substitute) else each.journey].append(each.name)
        kept = self._evidence.kept("bureau", "Taken")
        taken = {key: sorted(json.loads(value)["names"]) for key, value in kept.items()}
        return [
            Violation(f"{taken.get(key)} took effect for {key}, {right.get(key)} were sent", (key,))
            for key in sorted({*taken, *right})
            if taken.get(key) != sorted(right[key])
        ]

    def _audit_undone(self) -> list[Violation]:
        """What was to be undone is, in the opposite order, if the attempt has failed; else nothing is."""
        wanted: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
        undone: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
        for note, _, offset in self._named(Note):
            if note.name.startswith("undo "):
                wanted[note.name.removeprefix("undo ").rpartition(".")[0]].append((offset, note.name[5:]))
        for undo, _, offset in self._named(Undo):
            undone[undo.name.rpartition(".")[0]].append((offset, undo.name))
        found: list[Violation] = []
        for place in sorted({*wanted, *undone}):
            to_undo = [name for _, name in sorted(wanted[place], reverse=True)]
            found += self._audit_place(place, to_undo, [name for _, name in sorted(undone[place])])
        return found

    def _audit_place(self, place: str, wanted: list[str], undone: list[str]) -> Iterable[Violation]:
        trip = place.rpartition(".")[0].rpartition(".")[0]
        id_ = self._ids[trip]
        end = self._end(id_)
        if end is None or self._lenient:
            return
        if self._root(id_) in self._ordered:  # it was ended by an order, perhaps, or has gone through this twice
            right = set(undone) <= set(wanted) and all(undone.count(name) <= self._runs_of(name) for name in undone)
        else:
            right = undone == (wanted if self._endings.get(place) in FAILING else [])
        if not right:
            what = f"{wanted} were to be undone and {undone} were, in an attempt of a trip that is {end.status}"
            yield Violation(f"{place}: {what}", (id_, trip))
