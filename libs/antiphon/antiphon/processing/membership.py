"""The worker's place in its group, which it leaves and takes anew when the group refuses it without saying so."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from antiphon.broker import GroupMetadata, Member, Partition
from antiphon.errors import BrokerError, MembershipChanged

log = logging.getLogger(__name__)


class Membership:
    """The member of a group, and since when the group refuses what it commits while it tells it of no change.

    A group that has moved on tells a live member so with its next heartbeat. After a coordinator has been killed, a
    client library was seen to keep a member epoch that the group refused for minutes, without a word to the member:
    restored from the log again and again, its slices would never be served.
    """

    def __init__(self, join: Callable[[], Member], patience: float) -> None:
        self._join, self._patience = join, patience
        self._member = join()
        self._refused_since: float | None = None

    @property
    def member(self) -> Member:
        """The present one."""
        return self._member

    @property
    def joined(self) -> bool:
        """Whether the group has answered."""
        return self._member.joined

    def poll(self) -> None:
        """Hear what the group says."""
        self._member.poll(0)

    def metadata(self) -> GroupMetadata:
        """What fences a transaction, as of this moment."""
        return self._member.metadata()

    def commit(self, offsets: Mapping[Partition, int], now: float) -> None:
        """Commit outside of a transaction."""
        try:
            self._member.commit(offsets)
        except MembershipChanged:
            self.refused(now)
            raise
        self.confirmed()

    def refused(self, now: float) -> None:
        """A commit was refused since the member is not what it believes to be."""
        if self._refused_since is None:
            self._refused_since = now

    def confirmed(self) -> None:
        """A commit was taken, or the group has told of a change, which explains the refusals before."""
        self._refused_since = None

    def doubtful(self, now: float) -> bool:
        """Whether commits have been refused for so long that the member cannot be right."""
        return self._refused_since is not None and now - self._refused_since >= self._patience

    def join_anew(self) -> None:
        """Join as a new member, after the former one was closed."""
        self._refused_since = None
        self._member = self._join()

    def close(self) -> None:
        """Leave the group, which tells of every partition that is owned."""
        try:
            self._member.close()
        except BrokerError as error:
            log.warning("the group could not be left: %s", error)
