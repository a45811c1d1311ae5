"""A call that can stand still in its middle while its caller goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress


class Crashed(BaseException):
    """The replica is gone: raised through all of its code, which must not take it for an error of the cluster."""


class _Carrier:
    """A thread that runs one call after another, and only while whoever resumes it waits."""

    def __init__(self) -> None:
        self.call: Callable[[], None] = lambda: None
        self.go, self.stand = threading.Lock(), threading.Lock()
        self.go.acquire()
        self.stand.acquire()
        threading.Thread(target=self._run, name="strand", daemon=True).start()

    def _run(self) -> None:
        while True:
            self.go.acquire()
            self.call()
            self.stand.release()


_idle: list[_Carrier] = []


class Strand:
    """Runs a call on a thread of its own, never at the same time as anything else."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._error: BaseException | None = None
        self._killed = False
        self.ended = False
        self._carrier = _idle.pop() if _idle else _Carrier()
        self._carrier.call = self._run

    def _run(self) -> None:
        try:
            if not self._killed:
                self._call()
        except BaseException as error:
            self._error = error
        finally:
            self.ended = True

    def resume(self) -> None:
        """Let it go on until it stands still or has ended; raises what the call has raised."""
        self._carrier.go.release()
        self._carrier.stand.acquire()
        if self.ended:
            _idle.append(self._carrier)
            if self._error is not None:
                raise self._error

    def stand_still(self) -> None:
        """Inside the call: let whoever has resumed it go on. Raises Crashed if it is never to go on itself."""
        self._carrier.stand.release()
        self._carrier.go.acquire()
        if self._killed:
            raise Crashed

    def kill(self) -> None:
        """It ends where it stands."""
        if not self.ended:
            self._killed = True
            with suppress(Crashed):
                self.resume()
