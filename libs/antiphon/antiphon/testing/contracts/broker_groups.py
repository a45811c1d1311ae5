"""Facts about groups: who owns what, when it moves, and plain commits."""

from __future__ import annotations

from collections.abc import Callable, Collection

import pytest

from antiphon.broker import Partition, ReaderOptions
from antiphon.errors import MembershipChanged
from antiphon.testing.contracts.broker_harness import BrokerHarness, Participant, values


class GroupContract(BrokerHarness):
    """Members that share the partitions of one topic."""

    def test_a_lone_member_owns_every_partition(self) -> None:
        topic, group = self.topic(partitions=4), self.name("group")
        member = self.participant(group, topic)
        assert not member.member.joined

        self.wait_until(lambda: member.owned == {0, 1, 2, 3}, member)

        assert member.member.joined
        assert [told for told, _ in member.told] == ["assigned"]

    def test_a_group_has_members_from_joining_to_leaving(self) -> None:
        topic, group = self.topic(partitions=2), self.name("group")
        assert not self.admin.has_members(group)
        member = self.owner(group, topic)
        assert self.admin.has_members(group)

        self.close_now(member)

        self.wait_until(lambda: not self.admin.has_members(group))

    def test_members_share_evenly_and_a_partition_is_revoked_before_another_gets_it(self) -> None:
        topic, group = self.topic(partitions=6), self.name("group")
        members: list[Participant] = []
        for count in (1, 2, 3):
            joining = self.participant(group, topic)
            joining.on_assigned = self._owned_by_nobody(members, joining)
            members.append(joining)
            self.wait_until(lambda: self._shared(members, 6), *members)
            assert {len(member.owned) for member in members} == {6 // count}

        assert not any(member.changes("lost") for member in members)

    def test_a_member_that_closes_gives_back_at_once(self) -> None:
        topic, group = self.topic(partitions=4), self.name("group")
        leaving, staying = self.owner(group, topic), self.participant(group, topic)
        self.wait_until(lambda: self._shared([leaving, staying], 4), leaving, staying)
        had = set(leaving.owned)

        self.close_now(leaving)

        assert leaving.told[-1] == ("revoked", frozenset(had))
        self.wait_until(lambda: staying.owned == {0, 1, 2, 3}, staying)

    def test_a_member_that_falls_silent_is_put_out_and_learns_that_it_has_lost_everything(self) -> None:
        topic, group = self.topic(partitions=4), self.name("group")
        silent, staying = self.owner(group, topic), self.participant(group, topic)
        self.wait_until(lambda: self._shared([silent, staying], 4), silent, staying)
        had, before = set(silent.owned), silent.member.metadata()

        self.expire_session(staying)
        self.wait_until(lambda: staying.owned == {0, 1, 2, 3}, staying)

        assert silent.owned == had, "it cannot know before it polls"
        producer = self.producer(self.name("id"))
        producer.begin()
        with pytest.raises(MembershipChanged):
            producer.attach({Partition(topic, number): 1 for number in had}, before, self.patience)
        producer.abort(self.patience)
        self.wait_until(lambda: silent.changes("lost") == had, silent, staying)
        self.wait_until(lambda: self._shared([silent, staying], 4), silent, staying)

    def test_a_member_more_than_there_are_partitions_joins_with_nothing(self) -> None:
        topic, group = self.topic(), self.name("group")
        owner, spare = self.owner(group, topic), self.participant(group, topic)

        self.wait_until(lambda: spare.member.joined, owner, spare)

        assert (owner.owned, spare.owned) == ({0}, set())
        self.close_now(owner)
        self.wait_until(lambda: spare.owned == {0}, spare)

    def test_readers_under_the_groups_id_disturb_nothing(self) -> None:
        topic, other, group = self.topic(partitions=2), self.topic(), self.name("group")
        member = self.owner(group, topic)
        self.write(other, b"elsewhere")
        self.write(topic, b"here")

        reader = self.tested.reader(ReaderOptions(group, prompt=True))
        reader.assign({Partition(topic, 0): 0, Partition(other, 0): 0})
        assert sorted(content or b"" for content in values(self.read(reader, 2))) == [b"elsewhere", b"here"]
        reader.close()

        second = self.participant(group, topic)
        self.wait_until(lambda: self._shared([member, second], 2), member, second)
        assert len(second.owned) == 1, "the reader counted as a member"
        assert [told for told, _ in member.told] == ["assigned", "revoked"]

    def test_a_plain_commit_is_what_the_group_has(self) -> None:
        topic, group = self.topic(partitions=2), self.name("group")
        owner = self.owner(group, topic)

        owner.member.commit({Partition(topic, 0): 3})
        owner.member.commit({Partition(topic, 0): 4})

        assert self.committed(group, topic, 0) == 4
        assert self.committed(group, topic, 1) is None

    def test_a_group_that_never_was_has_no_offsets(self) -> None:
        assert self.committed(self.name("group"), self.topic()) is None

    def test_a_plain_commit_of_a_former_owner_is_refused(self) -> None:
        topic, group = self.topic(partitions=2), self.name("group")
        former, latter = self.owner(group, topic), self.participant(group, topic)
        self.wait_until(lambda: len(latter.owned) == 1, former, latter)
        (moved,) = latter.owned

        with pytest.raises(MembershipChanged):
            former.member.commit({Partition(topic, moved): 3})
        latter.member.commit({Partition(topic, moved): 5})

        assert self.committed(group, topic, moved) == 5

    def test_a_plain_commit_of_a_member_put_out_is_refused(self) -> None:
        topic, group = self.topic(), self.name("group")
        silent, staying = self.owner(group, topic), self.participant(group, topic)
        self.expire_session(staying)
        self.wait_until(lambda: staying.owned == {0}, staying)

        with pytest.raises(MembershipChanged):
            silent.member.commit({Partition(topic, 0): 3})

    def _shared(self, members: Collection[Participant], count: int) -> bool:
        owned = [number for member in members for number in member.owned]
        shares = [len(member.owned) for member in members]
        return sorted(owned) == list(range(count)) and max(shares) - min(shares) <= 1

    def _owned_by_nobody(self, members: list[Participant], joining: Participant) -> Callable[[Collection[int]], None]:
        def check(partitions: Collection[int]) -> None:
            taken = {number for member in members if member is not joining for number in member.owned}
            assert taken.isdisjoint(partitions), f"{sorted(taken & set(partitions))} had not been revoked yet"

        return check
