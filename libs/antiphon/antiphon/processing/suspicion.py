"""Careful mode: after a refused batch its records are tried one at a time."""

from __future__ import annotations

from antiphon.processing.batch import Input


class Suspicion:
    """After a refused batch: its inputs are tried one at a time, so that only the guilty one is given up."""

    def __init__(self) -> None:
        self._suspects: set[Input] = set()
        self.condemned: dict[Input, int] = {}  # how often the cluster has refused each alone

    def __bool__(self) -> bool:
        return bool(self._suspects)

    def refused(self, inputs: list[Input]) -> None:
        """This batch was refused because of one of its records.

        While inputs are tried one at a time it is the first one: others in the batch ended because that one did, such
        as duplicates behind it.
        """
        if len(inputs) == 1 or (inputs and inputs[0] in self._suspects):
            self._suspects.discard(inputs[0])
            self.condemned[inputs[0]] = self.condemned.get(inputs[0], 0) + 1
        else:
            self._suspects.update(inputs)

    def committed(self, inputs: list[Input]) -> None:
        """These are settled."""
        if self._suspects or self.condemned:
            self._suspects.difference_update(inputs)
            for settled in inputs:
                self.condemned.pop(settled, None)

    def forget(self, number: int) -> None:
        """Another owner will find out about this slice's inputs."""
        self._suspects = {found for found in self._suspects if found[1] != number}
        self.condemned = {found: times for found, times in self.condemned.items() if found[1] != number}
