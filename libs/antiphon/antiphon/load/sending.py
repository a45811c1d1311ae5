"""Sending a load: at a rate, each command at its own time whatever became of those before, or so many at once."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass

from antiphon.errors import AntiphonError
from antiphon.load.payloads import Payloads
from antiphon.load.recording import Tally
from antiphon.load.route import NotServed, Route

LATE = 0.01  # seconds after its time from which on a command counts as begun late


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """`rate` commands per second, or, without one, `in_flight` at once, the next one when one has ended. With a rate
    `in_flight` bounds what is under way: beyond, commands begin late. It ends after `seconds` or `count`, whichever
    comes first; one of them is given."""

    rate: float | None = None
    in_flight: int = 16
    seconds: float | None = None
    count: int | None = None


class Load:
    """One load on its way. Latencies count from the time at which a command was to be sent: when the platform, or this
    program, holds up later ones, their waiting counts too."""

    def __init__(self, plan: LoadPlan, route: Route, payloads: Payloads) -> None:
        self._plan, self._route, self._payloads = plan, route, payloads
        self.tally = Tally()
        self.under_way = 0
        self._start = time.perf_counter()
        self._failure: AntiphonError | None = None
        self._given_up = asyncio.Event()

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self._start

    async def run(self, stop: asyncio.Event) -> None:
        """Send all and wait for what becomes of them; or until `stop`, and what is under way then is left alone.

        Raises MessageError or ConfigurationError for what would go wrong with every command.
        """
        self._start = time.perf_counter()
        sending = asyncio.create_task(self._at_rate() if self._plan.rate else self._in_turn())
        ends = [sending, *(asyncio.create_task(event.wait()) for event in (stop, self._given_up))]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finished = sending.done()
        for each in ends:
            each.cancel()
        await asyncio.gather(*ends, return_exceptions=True)
        self.tally.unfinished = self.under_way
        if self._failure is not None:
            raise self._failure
        if finished:
            sending.result()

    def _numbers(self) -> Iterator[int]:
        return itertools.count() if self._plan.count is None else iter(range(self._plan.count))

    def _is_over(self, at: float) -> bool:
        return self._plan.seconds is not None and at >= self._plan.seconds

    async def _at_rate(self) -> None:
        assert self._plan.rate is not None
        places = asyncio.Semaphore(self._plan.in_flight)
        async with asyncio.TaskGroup() as group:
            for number in self._numbers():
                due = number / self._plan.rate
                if self._is_over(due):
                    break
                await asyncio.sleep(max(0.0, due - self.elapsed))
                await places.acquire()
                group.create_task(self._one(number, due)).add_done_callback(lambda _: places.release())

    async def _in_turn(self) -> None:
        numbers = self._numbers()
        async with asyncio.TaskGroup() as group:
            for _ in range(self._plan.in_flight):
                group.create_task(self._one_after_another(numbers))

    async def _one_after_another(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            if self._is_over(self.elapsed):
                break
            await self._one(number, self.elapsed)

    async def _one(self, number: int, due: float) -> None:
        begun = self.elapsed
        self.tally.note_sent(begun, late=begun - due > LATE)
        self.under_way += 1
        try:
            await self._route.send(self._payloads.parameters(number), lambda: self._accepted(due))
        except NotServed as error:
            self.tally.note_error(self.elapsed, error.kind)
        except AntiphonError as error:
            self._failure = self._failure or error
            self._given_up.set()
        else:
            self.tally.note_completed(self.elapsed, self.elapsed - due)
        self.under_way -= 1  # not when it is cancelled: then nobody knows what has become of it

    def _accepted(self, due: float) -> None:
        self.tally.note_accepted(self.elapsed, self.elapsed - due)
