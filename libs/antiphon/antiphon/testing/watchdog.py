"""Ends a turn that never returns, and names its line."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from antiphon.workflow.instance import TooManySteps


@contextmanager
def watched(patience: float) -> Iterator[None]:
    """Raise TooManySteps in this thread's code if it is not through after `patience` seconds."""
    thread, over = threading.get_ident(), threading.Event()

    def watch() -> None:
        if not over.wait(patience):
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(TooManySteps))

    watcher = threading.Thread(target=watch, name="watchdog", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
