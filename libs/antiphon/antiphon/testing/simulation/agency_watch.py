"""What is looked at while the agency runs: live instances against their histories, steps against what is committed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from antiphon.app import App
from antiphon.errors import AntiphonError
from antiphon.instances import HISTORY
from antiphon.processing.worker import Worker
from antiphon.testing.portraits import portrait
from antiphon.testing.simulation.agency_traveller import Around
from antiphon.testing.simulation.histories import RunHistory, finished
from antiphon.testing.simulation.program import Evidence, Violation
from antiphon.workflow.history import DecisionKind, read
from antiphon.workflow.host import WorkflowHost
from antiphon.workflow.kernel import close_instance
from antiphon.workflow.run import Run


class Watch:
    """`found` is what was wrong; `spoiled` are the ids of instances whose code may be other code than it was."""

    def __init__(self, around: Around, app: App, spoiled: Collection[str]) -> None:
        self.found: list[Violation] = []
        self._service, self._spoiled = app.service, spoiled
        self._seen: dict[str, tuple[int, int]] = {}
        self._evidence: Callable[[], Evidence] | None = None
        around.stepped = self._stepped

    def begin(self, evidence: Callable[[], Evidence]) -> None:
        """`evidence` is what the log tells at the moment."""
        self._evidence = evidence

    def inspect(self, worker: Worker) -> Sequence[Violation]:
        """The instances in memory that have gone on since they were looked at last."""
        host = worker._host
        if not isinstance(host, WorkflowHost):
            return ()
        found: list[Violation] = []
        for slice_ in worker._slices.serving():
            for run in slice_.instances.values():
                if run.instance is None or run.parked or self._seen.get(run.id) == (run.number, run.turns):
                    continue
                self._seen[run.id] = run.number, run.turns
                found += self._compare(host, run)
        return found

    def _compare(self, host: WorkflowHost, run: Run) -> list[Violation]:
        live = run.instance
        assert live is not None
        try:
            rebuilt = host._residents.rebuilt(run, run.records())
        except AntiphonError as error:
            known = run.id in self._spoiled
            return [] if known else [Violation(f"instance {run.id} cannot be rebuilt: {error}", (run.id,))]
        was, now = portrait(live), portrait(rebuilt)
        close_instance(rebuilt)
        return [
            Violation(
                f"instance {run.id}, turn {run.turns}: {name} is {was[name]} live, {now[name]} rebuilt", (run.id,)
            )
            for name in was
            if was[name] != now[name]
        ]

    def _stepped(self, instance: str, name: str) -> None:
        """A step is run: that it was asked for must be in the log."""
        assert self._evidence is not None
        evidence, prefix = self._evidence(), HISTORY + instance.encode() + b"/"
        kept = [value for (_, key), value in evidence.state(self._service).items() if key.startswith(prefix)]
        if _asks(kept, name) or any(_asks(run.records, name) for run in _of(evidence, instance)):
            return
        self.found.append(Violation(f"step {name} runs before it is in the log that it was asked for", (instance,)))


def _asks(records: Sequence[bytes], name: str) -> bool:
    decided = (decision for record in records for decision in read(record).decided())
    return any(decision.kind is DecisionKind.STEP and decision.name == name for decision in decided)


def _of(evidence: Evidence, instance: str) -> list[RunHistory]:
    return [run for run in finished(evidence) if run.instance == instance]
