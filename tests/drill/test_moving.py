"""A real installation moves to twice its partitions, with load before it, during it and after it."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import pytest

from antiphon.catalogue import Installation
from antiphon.codecs.avro import AvroCodec
from antiphon.processing.state import kept_key
from antiphon.topics import TopicNames
from antiphon.upkeep.migration import Migration, MigrationOptions
from antiphon.upkeep.owner import Owner
from tests.integration.apps import Account, Deposit, Deposited, Noted
from tests.integration.auditor import Auditor
from tests.integration.cluster import Cluster, Sent, many
from tests.upkeep.stand import Deaths, Killed

ACCOUNTS = many(100)
APP = "accounts-with-notes"


def migration(cluster: Cluster, new: Installation) -> Migration:
    """As `antiphon topics migrate` makes it."""
    return Migration(cluster.broker, cluster.catalogue, AvroCodec(), MigrationOptions(new.names.prefix, new.partitions))


@pytest.mark.timeout(240)
def test_every_deposit_counts_once_and_in_order_before_during_and_after_the_move(kafka: str, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("old", "new")]
    for folder in folders:
        folder.mkdir()
    with Cluster(kafka, folders[0], [APP]) as old, Auditor(old) as before:
        new = Installation(TopicNames(f"moved-{old.names.prefix}"), 2 * old.partitions)
        service = old.start(APP, "old-0")
        sent = old.deposit(ACCOUNTS, rounds=3)
        before.until_settled(sent, 60)
        sent += old.deposit(ACCOUNTS, rounds=3)
        assert service.stop() == 0  # in the middle of them
        sent += old.deposit(ACCOUNTS)  # while nobody is there
        before.read_to_ends()
        killed(old, new)
        found = migration(old, new).run()
        assert found.slices + found.skipped == 8
        assert found.skipped > 0, "the first run has done some"
        assert found.left > 0
        with Cluster(kafka, folders[1], [APP], installation=new) as next_, Auditor(next_) as after:
            next_._numbers = old._numbers
            copy = Deposit(account=sent[0].account, number=1, amount=1)
            next_.send(next_.record(copy, sent[0].account, sent[0].id))
            for replica in ("new-0", "new-1"):
                next_.start(APP, replica)
            sent += next_.deposit(ACCOUNTS, rounds=2)
            after.until_settled([each for each in sent if each.id not in before.settled], 60)
            noted = [*before.events[Noted], *after.events[Noted]]
            after.until(
                lambda: len(before.events[Noted]) + len(after.events[Noted]) >= len(sent), f"{len(noted)} are noted", 60
            )
            after.read_to_ends()
            expect_each_once(sent, [before, after])
            expect_state(sent, after)
            assert f"{old.names.prefix}state.accounts" in migration(old, new).finish()


def killed(old: Cluster, new: Installation) -> None:
    """A first run dies half-way, between two transactions; its place in the group is given back."""
    deaths = Deaths(old.partitions + new.partitions + 3, after=True)
    close = Owner.close
    with pytest.MonkeyPatch.context() as patch:
        deaths.strike(patch)
        patch.setattr(Owner, "close", close)  # else the next run waits for the end of its session
        with pytest.raises(Killed):
            migration(old, new).run()


def expect_each_once(sent: list[Sent], auditors: list[Auditor]) -> None:
    """Over both installations: one end, one event and one note for each, in the order of its account."""
    ends = Counter(id_ for auditor in auditors for id_, found in auditor.settled.items() for _ in found)
    assert ends == Counter(each.id for each in sent)
    assert not [letter for auditor in auditors for letter in auditor.dead_letters]
    for kind in (Deposited, Noted):
        by_account: defaultdict[str, list[int]] = defaultdict(list)
        for auditor in auditors:
            for found in auditor.events[kind]:
                assert isinstance(found.event, Deposited | Noted)
                by_account[found.event.account].append(found.event.number)
        counts = Counter(each.account for each in sent)
        wrong = {name: numbers for name, numbers in by_account.items() if numbers != list(range(1, counts[name] + 1))}
        assert not wrong, (kind, list(wrong.items())[:3])
        assert by_account.keys() == counts.keys()


def expect_state(sent: list[Sent], auditor: Auditor) -> None:
    """What is kept is what was sent."""
    kept = auditor.state("accounts")
    for account, count in Counter(each.account for each in sent).items():
        assert Account.model_validate_json(kept[kept_key(Account, account.encode())]).deposits == count
