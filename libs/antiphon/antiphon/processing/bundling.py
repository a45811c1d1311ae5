"""Bundling: deliveries for batch handlers are collected until there are enough, or until the first has waited enough.

What is collected has not begun: it is in flight and has its key, it counts as no attempt, and when its slice is dropped
or the worker drains it is left to whoever comes next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

from antiphon.app import App
from antiphon.executor import Work
from antiphon.handler import Handler
from antiphon.processing.bundle import Bundle
from antiphon.processing.delivery import Delivery


class Bundling:
    """The deliveries of one worker that wait for others of their handler."""

    def __init__(self, app: App) -> None:
        self._wanted = any(handler.bundle is not None for handler in (*app.commands, *app.events))
        self._waiting: dict[Handler, list[Delivery]] = {}
        self._due: dict[Handler, float] = {}  # when what waits is given out, in seconds since 1970

    @property
    def next_due(self) -> float | None:
        """When the next ones are given out, however few they are."""
        return min(self._due.values(), default=None)

    @property
    def begun(self) -> bool:
        """Whether an earlier handler of an event that waits here has run."""
        return any(delivery.step for waiting in self._waiting.values() for delivery in waiting)

    def collect(self, ready: list[Delivery], now: float, *, at_once: bool) -> list[Delivery]:
        """What may start now: all single ones, and those of batch handlers that are enough, or due, or `at_once`."""
        if not self._wanted:
            return ready
        start = [delivery for delivery in ready if delivery.handler.bundle is None]
        for delivery in ready:
            if delivery.handler.bundle is not None:
                self._keep(delivery, now)
        for handler in list(self._waiting):
            start += self._given_out(handler, now, at_once=at_once)
        return start

    def _keep(self, delivery: Delivery, now: float) -> None:
        handler = delivery.handler
        assert handler.bundle is not None
        self._waiting.setdefault(handler, []).append(delivery)
        self._due.setdefault(handler, now + handler.bundle.within)

    def _given_out(self, handler: Handler, now: float, *, at_once: bool) -> list[Delivery]:
        waiting, limits = self._waiting[handler], handler.bundle
        assert limits is not None
        all_of_it = at_once or now >= self._due[handler]
        enough = len(waiting) - (0 if all_of_it else len(waiting) % limits.size)
        if enough == len(waiting):
            del self._waiting[handler], self._due[handler]
        elif enough:
            self._waiting[handler] = waiting[enough:]  # less than a bundle waited before, so these are new
            self._due[handler] = now + limits.within
        return waiting[:enough]

    def bundled(self, start: list[Delivery]) -> Sequence[Work]:
        """These as work: single deliveries, and bundles of no more than their handler takes."""
        if not self._wanted:
            return start
        work: list[Work] = [delivery for delivery in start if delivery.handler.bundle is None]
        together: dict[Handler, list[Delivery]] = {}
        for delivery in start:
            if delivery.handler.bundle is not None:
                together.setdefault(delivery.handler, []).append(delivery)
        for handler, deliveries in together.items():
            assert handler.bundle is not None
            size = handler.bundle.size
            work += [Bundle(deliveries[at : at + size]) for at in range(0, len(deliveries), size)]
        return work

    def taken_apart(self, work: Sequence[Work]) -> list[Delivery]:
        """The deliveries of work that has ended."""
        if not self._wanted:
            return cast("list[Delivery]", work)
        return list(_deliveries(work))


def _deliveries(work: Sequence[Work]) -> Iterator[Delivery]:
    for one in work:
        if isinstance(one, Bundle):
            yield from one.deliveries
        elif isinstance(one, Delivery):
            yield one
