"""Who hears an event: the instances of a slice by correlation id."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from antiphon.processing.slice import Slice
from antiphon.workflow.run import Run

SLACK = 1000  # ended ones that are kept until they are looked for, beside as many as have not ended


class Hearers:
    """Kept only where workflows hear signals; elsewhere there is nobody."""

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted
        self._of: dict[int, dict[str, list[Run]]] = {}

    def add(self, run: Run, correlation_id: str) -> None:
        """It has begun."""
        if not self._wanted:
            return
        of_slice = self._of.setdefault(run.slice.number, {})
        if len(of_slice) > 2 * len(run.slice.instances) + SLACK:
            self.find(run.slice, run.slice.instances.values())
            of_slice = self._of[run.slice.number]
        of_slice.setdefault(correlation_id, []).append(run)

    def find(self, slice_: Slice, runs: Iterable[Run]) -> None:
        """These are all that there are."""
        if not self._wanted:
            return
        of_slice: dict[str, list[Run]] = {}
        for run in runs:
            if run.turns or run.pending:
                start = run.start if run.turns else run.pending[0].told
                of_slice.setdefault(start.name, []).append(run)
        self._of[slice_.number] = of_slice

    def of(self, slice_: Slice, correlation_id: str) -> list[Run]:
        """Those that have not ended."""
        of_slice = self._of.get(slice_.number, {})
        found = [run for run in of_slice.get(correlation_id, ()) if slice_.instances.get(run.key) is run]
        if found:
            of_slice[correlation_id] = found
        else:
            of_slice.pop(correlation_id, None)
        return found

    def forget(self, numbers: Collection[int]) -> None:
        """These slices are dropped."""
        for number in numbers:
            self._of.pop(number, None)
