"""The faults of one simulation: which of them wait for somebody to strike, and which have struck."""

from __future__ import annotations

from dataclasses import replace

from antiphon.testing.simulation.faults import Boundary, Fault, Kind


class Weather:
    """`struck` is all that has gone wrong so far; `outage` is until when the cluster answers nobody (since 1970)."""

    def __init__(self) -> None:
        self.armed: list[Fault] = []
        self.struck: list[Fault] = []
        self.outage = 0.0

    def arm(self, fault: Fault) -> None:
        """From now on it strikes whoever gets there."""
        self.armed.append(fault)

    def clear(self) -> None:
        """Nothing more goes wrong."""
        self.armed.clear()
        self.outage = 0.0

    def take(self, boundary: Boundary, service: str, *, after: bool, nests: bool) -> Fault | None:
        """The fault that strikes here and now, if any; `nests`: whether somebody may stand still here."""
        for index, fault in enumerate(self.armed):
            if fault.boundary is not boundary or fault.after is not after or fault.service != service:
                continue
            if fault.kind in (Kind.STALL, Kind.EXPEL) and not nests:
                continue
            if fault.skip:
                self.armed[index] = replace(fault, skip=fault.skip - 1)
                return None
            del self.armed[index]
            self.struck.append(fault)
            return fault
        return None
