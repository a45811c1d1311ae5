"""The baton: of a worker's threads, one at a time does Python work.

Python threads compete for the interpreter lock, and one that lets go of it for a microsecond (os.urandom, a socket
write) gets it back only after the others' switch interval. With several busy threads that costs more than the work
itself. So the threads of a worker hand each other the baton at the seams of their work and wait without it. It is
advice, not a lock: whoever does not get it in time goes on without, so that a handler that blocks holds up nobody.
"""

from __future__ import annotations

import threading
from collections import deque
from types import TracebackType

PATIENCE = 0.02  # seconds; longer than a stage's work on a batch


class _Mine(threading.local):
    """Whether the present thread has it."""

    held = False


class Baton:
    """Handed on in the order of asking. As a context manager it is taken and given back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._held = False
        self._kept = False  # somebody has waited in vain: until it is given back nobody waits any more
        self._mine = _Mine()

    def take(self) -> None:
        """Wait for it, but not for long."""
        with self._lock:
            if not self._held:
                self._held = True
                self._mine.held = True
                return
            if self._kept:
                self._mine.held = False
                return
            gate = threading.Lock()
            gate.acquire()
            self._waiting.append(gate)
        self._mine.held = gate.acquire(timeout=PATIENCE) or self._give_up(gate)

    def _give_up(self, gate: threading.Lock) -> bool:
        with self._lock:
            if gate not in self._waiting:
                return True  # it came at the last moment
            self._waiting.remove(gate)
            self._kept = True
            return False

    def give(self) -> None:
        """Hand it on, if it was taken."""
        if not self._mine.held:
            return
        self._mine.held = False
        with self._lock:
            self._kept = False
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._held = False

    def __enter__(self) -> None:
        self.take()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give()
