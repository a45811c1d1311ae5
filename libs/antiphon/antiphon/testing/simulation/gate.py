"""The gate of one replica: every call that leaves its memory passes here, and here faults strike."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from antiphon.errors import (
    BrokerUnavailable,
    MembershipChanged,
    ProducerFenced,
    TransactionAborted,
)
from antiphon.testing.simulation.faults import Boundary, Fault, Kind
from antiphon.testing.simulation.schedule import DEEPEST, Schedule
from antiphon.testing.simulation.strand import Crashed, Strand

if TYPE_CHECKING:
    from antiphon.testing.simulation.weather import Weather


class Gate:
    """Stands between a replica and everything else. `frozen` is until when it stands still (seconds since 1970)."""

    def __init__(self, name: str, service: str, schedule: Schedule, weather: Weather) -> None:
        self._name, self._service = name, service
        self._schedule, self._weather = schedule, weather
        self.dead = False
        self.frozen = 0.0
        self.expel: Callable[[], None] = lambda: None  # lets the group forget its member
        self.strand: Strand | None = None  # the one that runs at the moment
        self.wakes = 0.0  # when the one that has just stood still may go on

    @property
    def armed(self) -> bool:
        """Whether a fault may strike here."""
        return bool(self._weather.armed) or self._weather.outage > self._schedule.clock.now()

    def before(self, boundary: Boundary) -> None:
        """A call is about to be made: raises Crashed, an error of the contract, or lets time pass."""
        self.alive()
        if self.strand is not None and self._schedule.random.random() < 0.3:
            self._stand(self._schedule.random.random() * 0.02)
        if self._weather.armed:
            self._strike(boundary, after=False)

    def after(self, boundary: Boundary) -> None:
        """A call has taken effect and is about to return."""
        self.alive()
        if self._weather.armed:
            self._strike(boundary, after=True)

    def away(self, timeout: float) -> bool:
        """Whether the cluster answers nobody at the moment, after having waited for it if others may act meanwhile."""
        if self._weather.outage > self._schedule.clock.now() and self.strand is not None:
            self._stand(min(timeout, self._weather.outage - self._schedule.clock.now()))
        return self._weather.outage > self._schedule.clock.now()

    def alive(self) -> None:
        """Raises Crashed if the replica is gone."""
        if self.dead:
            raise Crashed

    def _strike(self, boundary: Boundary, *, after: bool) -> None:
        fault = self._weather.take(
            boundary, self._service, after=after, nests=self.strand is not None or self._schedule.depth < DEEPEST
        )
        if fault is None:
            return
        self._schedule.note(self._name, str(fault))
        if fault.kind is Kind.EXPEL:
            self.expel()
            self._stand(fault.seconds)
            return
        if fault.kind is Kind.STALL:
            if self.strand is None or fault.choice < 0.5:  # else the call alone does not return
                self.freeze(fault.seconds)
            self._stand(fault.seconds)
            return
        raise _error(fault)

    def freeze(self, seconds: float) -> None:
        """The whole replica stands still for so long."""
        self.frozen = max(self.frozen, self._schedule.clock.now() + seconds)

    def _stand(self, seconds: float) -> None:
        until = self._schedule.clock.now() + seconds
        strand = self.strand
        if strand is not None:
            self.wakes = until
            strand.stand_still()
        else:
            self._schedule.wait(lambda: self.dead, until)
        self.alive()


def _error(fault: Fault) -> BaseException:
    told = f"simulated: {fault}"
    if fault.kind is Kind.CRASH:
        return Crashed()
    if fault.kind is Kind.FENCED:
        return ProducerFenced(told)
    if fault.kind is Kind.ABORTED:
        return MembershipChanged(told) if fault.boundary is Boundary.ATTACH else TransactionAborted(told)
    return BrokerUnavailable(told)
