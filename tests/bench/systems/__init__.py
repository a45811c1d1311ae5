"""The systems that are measured, a module each."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Protocol, cast

from antiphon.broker import Outgoing, TopicPlan
from tests.bench.cases import SYSTEMS, Case, Run
from tests.bench.systems.place import Place


class System(Protocol):
    """What each module has."""

    def topics(self, case: Case, place: Place) -> list[TopicPlan]:
        """Every topic that it needs."""

    def records(self, run: Run, place: Place) -> Iterator[Outgoing]:
        """Its input, as many records as the run has messages."""

    def serve(self, run: Run, place: Place) -> None:
        """Do the work until the interpreter ends."""


def module_of(system: str) -> System:
    """The module of a system, imported only now, so that a process has in memory what it measures."""
    return cast(System, import_module(f"{__name__}.{SYSTEMS[system]}"))
