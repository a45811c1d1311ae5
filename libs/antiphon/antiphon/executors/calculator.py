"""A calculator: a child of this process that makes calls one after another, and the handle that its parent has of it.

The child is ended at a call's time limit, at the parent's wish, and by itself when its parent is gone, however that
came. It does not listen to SIGINT and SIGTERM: these may be meant for a whole group, and its parent, which stops then,
still wants what it is computing.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.sharedctypes import Synchronized
from time import monotonic
from typing import Any

from antiphon.errors import CalculatorDied, HandlerTimeout
from antiphon.executors.calls import outcome_bytes, read_call

SPAWN = multiprocessing.get_context("spawn")  # a fork would copy locks that threads hold
STARTING = 60.0  # seconds for a child to start and to import what its first calls need
LOOK = 0.05  # seconds between two looks at which call is under way, and whether it is still wanted
NOT_BEGUN = -1

Begin = Callable[[], None]
Timed = tuple[bytes, float]  # an outcome, and the seconds that it took


@dataclass(frozen=True, slots=True)
class Lost:
    """The child is gone, because of the call of this index; nothing is known of the others."""

    index: int
    error: Exception


class Calculator:
    """One child at a time, started when there is something to do; used by one thread, closed by any."""

    def __init__(self, begin: Begin | None = None) -> None:
        """`begin` is what a child does first; it is pickled on its way there."""
        self._begin = begin
        self._under_way: Any = SPAWN.RawValue("q", NOT_BEGUN)  # the index of the call that the child makes
        self._lock = threading.Lock()
        self._closed = False
        self._child: Any = None
        self._connection: Connection | None = None

    def calculate(
        self, calls: Sequence[bytes], timeouts: Sequence[float], stopped: Callable[[int], bool]
    ) -> list[Timed] | Lost:
        """Make these calls, each within its timeout in seconds: their outcomes, or which one has ended the child.

        `stopped` says of a call by its index whether it is not wanted any more.
        """
        self._under_way.value = NOT_BEGUN
        idle = self._connection is not None
        try:
            connection = self._ready()
            connection.send(calls)
            found = self._followed(connection, timeouts, stopped)
        except (EOFError, OSError) as error:
            if idle and self._under_way.value == NOT_BEGUN and not self._closed:
                self.end()  # it was dying already: a new one does it
                return self.calculate(calls, timeouts, stopped)
            index = max(0, self._under_way.value)
            found = Lost(index, CalculatorDied(f"the handler's process {self._how_it_ended()}"))
            found.error.__cause__ = error
        if isinstance(found, Lost):
            self.end()
        return found

    def _ready(self) -> Connection:
        """The connection to a child that lives; one that has died while it was idle is replaced."""
        if self._child is not None and not self._child.is_alive():
            self.end()
        with self._lock:
            if self._closed:
                raise OSError("the executor is closed")
            if self._connection is None:
                self._start()
            assert self._connection is not None
            return self._connection

    def _start(self) -> None:
        ours, theirs = SPAWN.Pipe()
        begin = self._begin or partial(logging.basicConfig, level=logging.getLogger().level)
        arguments = (theirs, self._under_way, begin)
        child = SPAWN.Process(target=serve, args=arguments, name="calculator", daemon=True)
        try:
            child.start()
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()  # or its end would not be noticed here
        self._child, self._connection = child, ours

    def _followed(
        self, connection: Connection, timeouts: Sequence[float], stopped: Callable[[int], bool]
    ) -> list[Timed] | Lost:
        index, begun = NOT_BEGUN, monotonic()
        while True:
            limit = STARTING if index == NOT_BEGUN else timeouts[index]
            left = max(0.0, begun + limit - monotonic())
            if connection.poll(min(left, LOOK)):
                outcomes: list[Timed] = connection.recv()
                return outcomes
            now_at: int = self._under_way.value
            if now_at != index:
                index, begun = now_at, monotonic()
            elif left <= 0 and index == NOT_BEGUN:
                return Lost(0, CalculatorDied(f"the handler's process was not ready within {STARTING:g} s"))
            elif left <= 0:
                return Lost(index, HandlerTimeout(limit))
            elif index != NOT_BEGUN and stopped(index):
                return Lost(index, RuntimeError("the handler was cancelled from outside"))

    def _how_it_ended(self) -> str:
        child = self._child
        if child is None:
            return "could not be started"
        child.join(1.0)
        code = child.exitcode
        return f"was ended by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"

    def end(self) -> None:
        """The child is gone when this returns; another one is started when there is something to do."""
        with self._lock:
            if self._child is not None:
                self._child.kill()
                self._child.join(5.0)
            if self._connection is not None:
                self._connection.close()
            self._child = self._connection = None

    def close(self) -> None:
        """End the child, whatever it does; a `calculate` under way returns. No other is started any more."""
        with self._lock:
            self._closed = True
            if self._child is not None:
                self._child.kill()


# -- in the child ----------------------------------------------------------------------------------------------------


def serve(connection: Connection, under_way: Synchronized[int], begin: Begin) -> None:
    """Make the calls that come, until the parent hangs up."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    begin()
    while True:
        try:
            received: Sequence[bytes] = connection.recv()
        except EOFError:
            return
        calls = [read_call(call) for call in received]  # imports take time, which is nobody's in particular
        outcomes = []
        for index, call in enumerate(calls):
            under_way.value = index
            begun = monotonic()
            outcomes.append((outcome_bytes(call), monotonic() - begun))
        connection.send(outcomes)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
