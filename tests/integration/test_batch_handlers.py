"""Batch handlers on a real cluster: five hundred messages, some fail, and their replica is killed on the way."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import pytest

from tests.integration.apps import Indexed
from tests.integration.auditor import Auditor
from tests.integration.cluster import Cluster, Sent, many


@pytest.mark.timeout(180)
@pytest.mark.promise("S0-45")
def test_each_message_of_many_batches_has_one_outcome_though_their_replica_is_killed(
    kafka: str, tmp_path: Path
) -> None:
    with Cluster(kafka, tmp_path, ["indexing"]) as cluster, Auditor(cluster) as auditor:
        sent = cluster.index(many(50), rounds=10)
        replica = cluster.start("indexing", "indexing-0")
        auditor.until(lambda: len(auditor.settled) >= 50, "some of it is done", 60)
        replica.kill()
        assert len(auditor.settled) < len(sent)
        replica.start()
        auditor.until_settled(sent, 60)
        auditor.read_to_ends()
        expect_one_outcome_each(auditor, sent)
        runs = Counter(line.split()[0] for line in cluster.journal_path.read_text().splitlines())
        assert all(runs[each.id] >= (2 if each.number == 7 else 1) for each in sent)
        assert replica.stop() == 0


def expect_one_outcome_each(auditor: Auditor, sent: list[Sent]) -> None:
    assert auditor.settled.keys() == {each.id for each in sent}
    assert {id_: len(ends) for id_, ends in auditor.settled.items() if len(ends) != 1} == {}
    statuses = {each: auditor.settled[each.id][0].status for each in sent}
    assert {each for each, status in statuses.items() if status != "completed"} == {e for e in sent if e.number == 10}
    assert Counter(letter.message_id for letter in auditor.dead_letters) == Counter(
        each.id for each in sent if each.number == 10
    )
    found = auditor.events[Indexed]
    assert Counter(each.cause for each in found) == Counter(each.id for each in sent if each.number != 10)
    order: defaultdict[str, list[int]] = defaultdict(list)
    for each in found:
        assert isinstance(each.event, Indexed)
        order[each.event.account].append(each.event.number)
    assert all(numbers == list(range(1, 10)) for numbers in order.values())
