"""Names of topics and groups, their settings, and where a key lies."""

from __future__ import annotations

import pytest

from antiphon.topics import TopicNames, bad_name, murmur2, partition_of, single_partition, topic_settings

NAMES = TopicNames()


def test_every_name_stands_under_the_prefix() -> None:
    names = TopicNames("test.")
    assert names.commands("analysis") == "test.commands.analysis"
    assert names.events("repairs") == "test.events.repairs"
    assert names.state("analysis") == "test.state.analysis"
    assert names.group("analysis") == "test.analysis"
    single = [names.replies, names.dead_letters, names.lifecycle, names.histories, names.activity, names.cancels]
    assert all(name.startswith("test.") for name in [*single, names.control, names.schemas])
    assert len({*single, names.control, names.schemas}) == 8


def test_replies_go_to_the_reply_topic_or_to_a_service_and_nowhere_else() -> None:
    allowed = (NAMES.replies, NAMES.commands("analysis"))
    refused = (NAMES.state("analysis"), NAMES.lifecycle, NAMES.events("x"), "commands.analysis", "other.replies")
    assert all(NAMES.takes_replies(topic) for topic in allowed)
    assert not any(NAMES.takes_replies(topic) for topic in refused)


def test_state_and_schemas_are_compacted_and_everything_else_ends_by_time() -> None:
    compacted = {NAMES.schemas, NAMES.control, NAMES.state("analysis")}
    for topic in (*compacted, NAMES.commands("analysis"), NAMES.replies, NAMES.dead_letters, NAMES.histories):
        settings = topic_settings(NAMES, topic)
        assert settings["cleanup.policy"] == ("compact" if topic in compacted else "delete")
        assert ("retention.ms" in settings) == (topic not in compacted)


def test_only_control_and_schemas_have_a_single_partition() -> None:
    assert single_partition(NAMES, NAMES.control)
    assert single_partition(NAMES, NAMES.schemas)
    assert not single_partition(NAMES, NAMES.replies)


@pytest.mark.parametrize("name", ["analysis", "a", "order-4711"])
def test_a_plain_name_may_be_used(name: str) -> None:
    assert bad_name(name) is None


@pytest.mark.parametrize("name", ["", "Analysis", "4711", "-a", "a.b", "a_b", "a" * 64, "ä"])
def test_a_name_that_topics_or_schemas_could_not_carry_is_refused(name: str) -> None:
    assert repr(name) in (bad_name(name) or "")


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        # the values that Kafka's own tests expect of its Java client
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_keys_are_hashed_as_kafkas_java_client_does(key: bytes, expected: int) -> None:
    found = murmur2(key)
    assert (found - 2**32 if found >= 2**31 else found) == expected


def test_every_key_has_a_partition_and_all_are_used() -> None:
    assert {partition_of(str(number).encode(), 12) for number in range(1000)} == set(range(12))
    assert partition_of(b"", 12) in range(12)
