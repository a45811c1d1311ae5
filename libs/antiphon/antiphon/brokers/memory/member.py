"""Membership of a group on the embedded broker."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from antiphon.broker import GroupMetadata, Member, MemberOptions, Partition
from antiphon.brokers.memory.cluster import Cluster
from antiphon.brokers.memory.group import Change
from antiphon.errors import MembershipChanged


class MemoryMember(Member):
    """Every `poll` is a heartbeat; a call-back's effect is confirmed by the next one."""

    def __init__(self, cluster: Cluster, options: MemberOptions) -> None:
        self._cluster = cluster
        self._group, self._topic, self._ownership = options.group, options.topic, options.ownership
        self._owned: set[int] = set()
        self._joined = False
        with cluster.changed:
            self._name = cluster.next_name("member")

    def poll(self, timeout: float) -> None:
        with self._cluster.changed:
            change = self._cluster.wait(self._heartbeat, timeout)
        if change is not None:
            self._serve(*change)
        self._joined = True

    def metadata(self) -> GroupMetadata:
        with self._cluster.changed:
            return self._cluster.metadata(self._group, self._name)

    @property
    def joined(self) -> bool:
        return self._joined

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        foreign = [at for at in offsets if at.topic == self._topic and at.number not in self._owned]
        if foreign:
            raise MembershipChanged(f"{self._name} of group {self._group} does not own {foreign}")
        with self._cluster.changed:
            self._cluster.commit_offsets(offsets, self._cluster.metadata(self._group, self._name))

    def close(self) -> None:
        with self._cluster.changed:
            epoch = self._cluster.metadata(self._group, self._name).epoch
        if self._owned:
            self._serve(Change.REVOKED if epoch >= 0 else Change.LOST, set(self._owned))
        with self._cluster.changed:
            self._cluster.leave(self._group, self._name)

    def put_out(self) -> None:
        """Let the group forget this member, as a coordinator may; it learns that from its next poll."""
        with self._cluster.changed:
            self._cluster.leave(self._group, self._name)

    def owns(self, number: int) -> bool:
        """Whether the group gives this partition to this member, whatever the member believes."""
        with self._cluster.changed:
            return self._cluster.owns(self._group, self._name, number)

    def _heartbeat(self) -> tuple[Change, set[int]] | None:
        return self._cluster.heartbeat(self._group, self._name, self._topic, self._owned)

    def _serve(self, change: Change, partitions: Collection[int]) -> None:
        told: dict[Change, Callable[[Collection[int]], None]] = {
            Change.ASSIGNED: self._ownership.assigned,
            Change.REVOKED: self._ownership.revoked,
            Change.LOST: self._ownership.lost,
        }
        told[change](frozenset(partitions))
        if change is Change.ASSIGNED:
            self._owned.update(partitions)
        else:
            self._owned.difference_update(partitions)
