"""Simulation: services on the memory broker under a seeded schedule, with faults at every boundary, and an auditor."""

from antiphon.testing.simulation.faults import Boundary, Fault, Kind
from antiphon.testing.simulation.program import Arrival, Evidence, Program, Violation
from antiphon.testing.simulation.runs import pause
from antiphon.testing.simulation.simulation import Options, Result, Simulation

__all__ = [
    "Arrival",
    "Boundary",
    "Evidence",
    "Fault",
    "Kind",
    "Options",
    "Program",
    "Result",
    "Simulation",
    "Violation",
    "pause",
]
