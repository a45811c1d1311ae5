"""Offsets that a worker commits in its group outside of transactions.

At least once they are the truth about what is done. In the transactional mode they only show lag tools how far the
event topics are read; the truth is in the slice's progress.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

from antiphon.broker import Partition
from antiphon.errors import BrokerError, MembershipChanged
from antiphon.processing.membership import Membership
from antiphon.processing.options import WorkerOptions
from antiphon.processing.ownership import Slices

log = logging.getLogger(__name__)


class GroupOffsets:
    """What is owed to the group, and when it is paid."""

    def __init__(self, options: WorkerOptions, now: float, *, shown_only: bool) -> None:
        self._shown_only = shown_only
        self._interval = options.lag_commit if shown_only else options.group_commit
        self._renewal = options.renewal
        self._next = 0.0
        self._next_renewal = now + options.renewal
        self._owed: dict[Partition, int] = {}

    def owe(self, offsets: Mapping[Partition, int]) -> None:
        """These are done."""
        self._owed |= offsets

    def forget(self, numbers: Collection[int]) -> None:
        """These slices are gone, or in doubt."""
        self._owed = {at: offset for at, offset in self._owed.items() if at.number not in numbers}

    def commit(self, member: Membership, slices: Slices, now: float, *, at_once: bool = False) -> bool:
        """Commit what is owed, if it is time; False if the cluster did not take it and it is still owed."""
        if not (at_once or now >= self._next):
            return True
        self._next = now + self._interval
        if self._shown_only:
            self._owed = {at: offset for at, offset in slices.positions().items() if at.topic != slices.commands}
        elif now >= self._next_renewal:  # offsets of a quiet topic expire
            self._next_renewal = now + self._renewal
            self._owed = slices.positions() | self._owed
        owed, self._owed = self._owed, {}
        return not owed or self._pay(member, owed, now)

    def _pay(self, member: Membership, owed: dict[Partition, int], now: float) -> bool:
        try:
            member.commit(owed, now)
        except MembershipChanged as error:
            log.info("offsets were not committed, the group has moved on: %s", error)
            return self._shown_only
        except BrokerError as error:
            log.warning("offsets were not committed: %s", error)
            self._owed = {} if self._shown_only else owed | self._owed
            return False
        return True
