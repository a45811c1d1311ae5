"""Asking the cluster without waiting: questions as steps of a generator that a turn takes further."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import TypeVar

from antiphon.errors import BrokerError

log = logging.getLogger(__name__)
T = TypeVar("T")
Steps = Generator[None, None, T]


def ask(question: Callable[[], Future[T]]) -> Steps[T]:
    """Ask until there is an answer: the cluster may be away, or a former owner's transaction still open."""
    while True:
        answer = question()
        while not answer.done():
            yield
        error = answer.exception()
        if error is None:
            return answer.result()
        if not isinstance(error, BrokerError):
            raise error
        log.debug("asked again: %s", error)
        yield


def ended(steps: Steps[None]) -> bool:
    """Take these as far as they go without waiting; whether that was their end."""
    try:
        next(steps)
    except StopIteration:
        return True
    return False
