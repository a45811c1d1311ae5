"""Bounded waiting on a condition: what tests use in place of sleeping."""

import time
from collections.abc import Callable


def until(condition: Callable[[], bool], what: str, seconds: float = 10.0) -> None:
    """Return as soon as `condition()` holds; after `seconds` an AssertionError names `what` was waited for."""
    deadline, pause = time.monotonic() + seconds, 0.001
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds:g} s still not: {what}")
        time.sleep(pause)
        pause = min(2 * pause, 0.02)
