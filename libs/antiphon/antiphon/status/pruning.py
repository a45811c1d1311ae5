"""What the read side forgets: rows of what ended so many days ago, a few at a time and every now and then."""

from __future__ import annotations

import logging

from antiphon.clock import Clock
from antiphon.errors import StoreError
from antiphon.store import Store

log = logging.getLogger(__name__)
DAY = 86_400.0
INTERVAL = 600.0  # seconds between two rounds
AT_ONCE = 500  # rows of one transaction: nobody waits long for it
MOST = 50_000  # rows of one round


class Pruning:
    """Of one installation; any replica may do it, and several at once do no harm."""

    def __init__(self, store: Store, clock: Clock, days: int) -> None:
        """`days`: how long what has ended stays; 0 keeps everything."""
        self._store, self._clock, self._days = store, clock, days
        self._next = clock.now()

    def step(self) -> int:
        """Prune, if it is time; how many rows of commands, runs and dead letters it were."""
        now = self._clock.now()
        if not self._days or now < self._next:
            return 0
        self._next = now + INTERVAL
        dropped = 0
        try:
            while dropped < MOST and (some := self._store.prune(now - self._days * DAY, AT_ONCE)):
                dropped += some
        except StoreError as error:
            log.warning("the read side could not be pruned, and will be: %s", error)
        if dropped:
            log.info("%d rows of what ended more than %d days ago are gone from the read side", dropped, self._days)
        return dropped
