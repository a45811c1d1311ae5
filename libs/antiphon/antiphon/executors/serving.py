"""One app served by one worker in this process, and whether it has done all that it was sent."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from antiphon.app import App
from antiphon.broker import Partition
from antiphon.catalogue import Installation
from antiphon.executors.driving import drive
from antiphon.processing.options import WorkerOptions, WorkerParts
from antiphon.processing.worker import Worker, slice_topics


class Service:
    """The only replica of an app, on a thread of its own. What `settled` says is written by that thread."""

    def __init__(
        self, app: App, parts: WorkerParts, installation: Installation, options: WorkerOptions, grace: float
    ) -> None:
        self.app, self._parts, self._grace = app, parts, grace
        topics = slice_topics(app, installation)
        self.group = topics.group
        numbers = self._numbers = range(installation.partitions)
        self.sources = [Partition(topic, n) for topic in topics.sources for n in numbers]
        self.worker = Worker(app, parts, installation, options)
        self.ended = False
        self.settled: Mapping[Partition, int] | None = None  # as of the first turn after `ask`
        self._asked = False

    def run(self, stop: threading.Event) -> None:
        """Serve until `stop`, and to the end of what is in hand."""
        try:
            drive(self.worker, self._parts.executor, self._parts.clock, stop, self._grace, self._turned)
        finally:
            self.ended = True

    def _turned(self) -> None:
        if self._asked:
            self._asked, self.settled = False, self.worker.settled

    @property
    def serves(self) -> bool:
        """Whether everything that is sent to it from now on is read."""
        return len(self.worker.serving) == len(self._numbers)

    def ask(self) -> None:
        """Have `settled` written anew."""
        self.settled, self._asked = None, True
        self._parts.executor.wake()

    def has_settled(self, ends: Mapping[Partition, int]) -> bool:
        """Whether it has said that it is done with everything before these ends."""
        settled = self.settled
        return settled is not None and all(settled.get(source, -1) >= ends[source] for source in self.sources)
