"""Facts about topics: made, described, removed, and where they begin and end."""

from __future__ import annotations

import pytest

from antiphon.broker import Partition, TopicPlan
from antiphon.errors import UnknownTopic
from antiphon.testing.contracts.broker_harness import BrokerHarness


class TopicContract(BrokerHarness):
    """What the admin client answers and changes."""

    def test_a_topic_is_made_as_planned_and_described_as_it_is(self) -> None:
        name = self.name("topic")
        self.admin.create_topics([TopicPlan(name, 3, {"cleanup.policy": "compact", "retention.ms": "60000"})])

        found = self.admin.topics()[name]

        assert found.partitions == 3
        assert dict(found.settings) == {"cleanup.policy": "compact", "retention.ms": "60000"}

    def test_a_topic_that_exists_is_left_as_it_is_and_the_others_are_made(self) -> None:
        existing, new = self.topic(partitions=2), self.name("topic")
        self.write(existing, b"kept")

        self.admin.create_topics([TopicPlan(existing, 5), TopicPlan(new, 1)])

        assert self.admin.topics()[existing].partitions == 2
        assert self.admin.topics()[new].partitions == 1
        assert self.end(existing) == 1

    def test_a_deleted_topic_is_gone_and_one_that_never_was_is_passed_over(self) -> None:
        topic, other = self.topic(), self.topic()

        self.admin.delete_topics([topic, self.name("never")])

        self.wait_until(lambda: topic not in self.admin.topics())
        assert other in self.admin.topics()

    def test_an_empty_partition_begins_and_ends_at_zero(self) -> None:
        asked = [Partition(self.topic(partitions=2), number) for number in range(2)]

        assert self.answer(lambda: self.admin.ends(asked)) == dict.fromkeys(asked, 0)
        assert self.answer(lambda: self.admin.log_starts(asked)) == dict.fromkeys(asked, 0)

    def test_nothing_asked_is_nothing_answered(self) -> None:
        assert self.answer(lambda: self.admin.ends([])) == {}
        assert self.answer(lambda: self.admin.log_starts([])) == {}
        assert self.answer(lambda: self.admin.committed(self.name("group"), [])) == {}

    def test_the_end_of_a_topic_that_does_not_exist_is_an_error(self) -> None:
        with pytest.raises(UnknownTopic):
            self.answer(lambda: self.admin.ends([Partition(self.name("nowhere"), 0)]))
