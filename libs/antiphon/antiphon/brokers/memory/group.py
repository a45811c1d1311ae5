"""Consumer groups: members, epochs, cooperative rebalances and committed offsets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum

from antiphon.broker import Partition
from antiphon.errors import MembershipChanged, OffsetsUnstable


@dataclass(frozen=True, slots=True)
class Metadata:
    """Which member of which group, at which epoch."""

    group: str
    member: str
    epoch: int


class Change(Enum):
    """What a heartbeat tells a member."""

    ASSIGNED = "assigned"
    REVOKED = "revoked"
    LOST = "lost"


@dataclass(slots=True)
class GroupMember:
    """A member as the group sees it.

    `owned` includes what it is told to give back (`releasing`) until its next heartbeat confirms that.
    """

    topic: str
    seen: float
    epoch: int = 0
    behind: int = 0  # by how much less than its epoch the member believes to be at
    owned: set[int] = field(default_factory=set)
    target: set[int] = field(default_factory=set)
    releasing: set[int] = field(default_factory=set)


class Group:
    """One group. A member whose last heartbeat is `session_timeout` seconds old is out.

    Every change of membership raises the group's epoch; a member takes the new epoch with the heartbeat at which it
    has nothing left to give back, so what it took before is refused from then on.
    """

    def __init__(self, name: str, partitions_of: Callable[[str], int], session_timeout: float) -> None:
        self.name = name
        self._partitions_of = partitions_of
        self._session_timeout = session_timeout
        self._epoch = 0
        self.moves = 0  # how often a partition may have become free for somebody
        self._members: dict[str, GroupMember] = {}
        self._offsets: dict[Partition, int] = {}
        self._pending: Counter[Partition] = Counter()

    def heartbeat(self, name: str, topic: str, owned: Collection[int], now: float) -> tuple[Change, set[int]] | None:
        """The member is alive and believes that it owns these; what it has to do now, if anything.

        A stranger that owns nothing joins; one that believes to own something has lost it.
        """
        self.expire(now)
        member = self._members.get(name)
        if member is None:
            if owned:
                return Change.LOST, set(owned)
            member = self._members[name] = GroupMember(topic, now)
            self.rebalance()
        member.seen = now
        if member.releasing:
            member.owned -= member.releasing
            self.moves += 1
        member.releasing = member.owned - member.target
        if member.releasing:
            return Change.REVOKED, set(member.releasing)
        member.epoch = self._epoch
        gained = member.target - member.owned - self._owned_by_others(member)
        member.owned |= gained
        return (Change.ASSIGNED, gained) if gained else None

    def epoch_of(self, name: str) -> int:
        """The member's epoch; -1 for a stranger."""
        member = self._members.get(name)
        return -1 if member is None else member.epoch

    def member_at(self, choice: float) -> str | None:
        """One of the members, by a number from 0 to 1."""
        names = list(self._members)
        return names[int(choice * len(names))] if names else None

    def believed_epoch_of(self, name: str) -> int:
        """What the member takes for its epoch; -1 for a stranger."""
        member = self._members.get(name)
        return -1 if member is None else max(0, member.epoch - member.behind)

    def owned_by(self, name: str) -> set[int]:
        """What the member owns."""
        member = self._members.get(name)
        return set() if member is None else member.owned

    def fall_behind(self, name: str) -> None:
        """From now on, for as long as it is a member, it believes to be at an epoch that has passed."""
        self._members[name].behind = 1

    def leave(self, name: str) -> None:
        """The member is gone, what it owned is free."""
        if self._members.pop(name, None) is not None:
            self.rebalance()

    def expire(self, now: float) -> None:
        """Put out members that have been silent for too long."""
        silent = [name for name, member in self._members.items() if now - member.seen >= self._session_timeout]
        for name in silent:
            del self._members[name]
        if silent:
            self.rebalance()

    def check(self, metadata: Metadata) -> None:
        """Raise MembershipChanged unless this member is still what the metadata says."""
        present = self.epoch_of(metadata.member)
        if present < 0 or present != metadata.epoch:
            raise MembershipChanged(
                f"{metadata.member} of group {self.name} is "
                + ("no member any more" if present < 0 else f"at epoch {present}, no longer at {metadata.epoch}")
            )

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """These are the group's offsets now."""
        self._offsets.update(offsets)

    def hold(self, partitions: Collection[Partition]) -> None:
        """A transaction carries offsets for these: they are unstable until it ends."""
        self._pending.update(list(partitions))

    def release(self, partitions: Collection[Partition]) -> None:
        """That transaction has ended."""
        self._pending.subtract(list(partitions))

    def committed(self, partitions: Collection[Partition]) -> dict[Partition, int | None]:
        """The offsets of these. Raises OffsetsUnstable."""
        for partition in partitions:
            if self._pending[partition]:
                raise OffsetsUnstable(f"a transaction with offsets of {partition} in group {self.name} is open")
        return {partition: self._offsets.get(partition) for partition in partitions}

    def forget(self, topic: str) -> None:
        """The topic has been deleted."""
        self._offsets = {at: offset for at, offset in self._offsets.items() if at.topic != topic}

    def rebalance(self) -> None:
        """Share the partitions anew, evenly, moving as few as possible."""
        self._epoch += 1
        self.moves += 1
        for topic in {member.topic for member in self._members.values()}:
            members = [member for member in self._members.values() if member.topic == topic]
            _share(self._partitions_of(topic), members)

    def _owned_by_others(self, member: GroupMember) -> set[int]:
        others = (each for each in self._members.values() if each is not member and each.topic == member.topic)
        return set().union(*(each.owned for each in others))


def _share(count: int, members: list[GroupMember]) -> None:
    """Set every member's target: floor or ceiling of the even share, keeping what it has where possible."""
    least, extra = divmod(count, len(members))
    unclaimed = set(range(count))
    quotas: dict[int, int] = {}
    for member in sorted(members, key=lambda each: -len(each.target)):
        quotas[id(member)] = least + (1 if extra > 0 else 0)
        extra -= 1
        kept = sorted(member.target & unclaimed)[: quotas[id(member)]]
        member.target = set(kept)
        unclaimed.difference_update(kept)
    free = sorted(unclaimed, reverse=True)
    for member in members:
        while free and len(member.target) < quotas[id(member)]:
            member.target.add(free.pop())
