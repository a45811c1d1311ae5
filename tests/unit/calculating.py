"""What the tests let calculators do: it has to be importable in another process."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

from antiphon.errors import Permanent, RetryAfter


class Odd(Exception):
    """Made from something else than what it says, as many exceptions are."""

    def __init__(self, number: int, *, place: str) -> None:
        self.number, self.place = number, place
        super().__init__(f"{number} is odd, in {place}")


def add(one: int, other: int) -> int:
    return one + other


def where() -> int:
    """The process that this runs in."""
    return os.getpid()


def refuse_by(text: str) -> None:
    raise Permanent(text)


def wish_for(delay: str) -> None:
    raise RetryAfter("busy", delay)


def be_odd(number: int) -> None:
    try:
        raise Odd(number, place="the list")
    except Odd as odd:
        odd.add_note("seen from here")
        raise ValueError("not even") from odd


def fail_unheard_of() -> None:
    class Local(Permanent):
        pass

    raise Local("nobody else knows my class")


def return_what_cannot_leave() -> object:
    return threading.Lock()


def die(number: int = signal.SIGKILL) -> None:
    os.kill(os.getpid(), number)
    hang()


def leave(code: int) -> None:
    os._exit(code)


def die_once(path: str) -> str:
    """The first process that comes here does not get away."""
    if not Path(path).exists():
        Path(path).touch()
        die()
    return "alive"


def hang() -> None:
    """Compute, and never come to an end."""
    while True:
        time.monotonic()


def note(path: str, number: int, seconds: float = 0.0) -> int:
    """Leave a line behind, and take some time over it."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass
    with Path(path).open("a") as file:
        file.write(f"{number} {os.getpid()}\n")
    return number
