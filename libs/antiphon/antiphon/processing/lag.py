"""Lag: how many offsets of each source partition lie between a slice's position and the end of the log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future

from antiphon.broker import Admin, Partition
from antiphon.errors import BrokerError
from antiphon.metrics import Metrics
from antiphon.processing.ownership import Slices

log = logging.getLogger(__name__)
INTERVAL = 5.0  # seconds between two questions


class Lag:
    """Asks the cluster once in a while and shows the answer; what is no longer read is shown no more."""

    def __init__(self, admin: Admin, metrics: Metrics, service: str) -> None:
        self._admin, self._service = admin, service
        self._metrics = metrics
        self._asked: Future[Mapping[Partition, int]] | None = None
        self._next = 0.0
        self._shown: set[Partition] = set()
        self._ends: Mapping[Partition, int] = {}

    def step(self, now: float, slices: Slices) -> None:
        """Go on as far as it goes without waiting."""
        if self._asked is None:
            if now >= self._next:
                self._next = now + INTERVAL
                self._asked = self._admin.ends(list(slices.positions()))
        elif self._asked.done():
            asked, self._asked = self._asked, None
            error = asked.exception()
            if error is None:
                self._show(asked.result(), slices.positions())
            elif isinstance(error, BrokerError):
                log.debug("the lag is not known: %s", error)
            else:
                raise error

    def backlog(self, slices: Slices, wanted: Callable[[str], bool]) -> int:
        """How many records of these topics are not settled: what was not read as of the last answer, and what is in
        memory. One that takes long counts as one, however many behind it are finished."""
        found = 0
        for number, slice_ in slices.owned.items():
            for topic in filter(wanted, slice_.sources):
                source = slice_.sources[topic]
                unread = self._ends.get(Partition(topic, number), 0) - source.next_offset
                found += max(0, unread) + source.unfinished
        return found

    def _show(self, ends: Mapping[Partition, int], positions: Mapping[Partition, int]) -> None:
        for gone in self._shown - positions.keys():
            self._metrics.remove("antiphon_consumer_lag_records", **self._labels(gone))
        self._ends = ends
        self._shown = set(positions) & set(ends)
        for at in self._shown:
            gauge = self._metrics.gauge("antiphon_consumer_lag_records", **self._labels(at))
            gauge.set(max(0, ends[at] - positions[at]))

    def _labels(self, at: Partition) -> dict[str, str]:
        return {"service": self._service, "topic": at.topic, "partition": str(at.number)}
