"""Driving a worker on the calling thread until it is told to stop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from antiphon.clock import Clock
from antiphon.executor import Executor
from antiphon.processing.worker import Worker

log = logging.getLogger(__name__)
CHECK = 1.0  # seconds between two looks for stuck handlers


def drive(
    worker: Worker,
    executor: Executor,
    clock: Clock,
    stop: threading.Event,
    grace: float,
    turned: Callable[[], None] = lambda: None,
) -> bool:
    """Turn until `stop`, then drain for at most `grace` seconds and leave; True if it ended cleanly.

    A worker that cannot go on (`failure`) is drained and left at once. `turned` is called after each turn before that.
    """
    next_check = 0.0
    while not stop.is_set() and worker.failure is None:
        now = clock.now()
        if now >= next_check:
            worker.check_handlers()
            next_check = now + CHECK
        pause = worker.turn(now)
        turned()
        executor.wait(pause)
    if worker.failure is not None:
        log.error("the worker stops: %s", worker.failure)
    worker.drain()
    until = clock.now() + grace
    while not worker.drained and clock.now() < until:
        executor.wait(worker.turn(clock.now()))
    return worker.close(5.0) and worker.failure is None
