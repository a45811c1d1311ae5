"""A roll-out under load, one replica after another to the next release and back: nothing is lost, doubled or parked."""

from __future__ import annotations

import itertools
import threading
from collections import Counter, defaultdict
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

import pytest

from antiphon.instances import HISTORY, JOINED, PARKED_INSTANCE, PENDING_INPUT
from tests.integration import release_two
from tests.integration.auditor import Auditor
from tests.integration.cluster import Cluster, RunningService, many
from tests.integration.release_one import Buy, Paid, Pay

RELEASES = {number: f"tests.integration.release_{word}" for number, word in (("1", "one"), ("2", "two"))}
PLACES = ("till-a", "till-b", "shop-a", "shop-b")
ORDERS = many(40, "standing-order")
EVERY = 0.05  # seconds between two portions of the load
PORTION = 4  # payments in each, and half as many workflows
OF_INSTANCES = (HISTORY, JOINED, PARKED_INSTANCE, PENDING_INPUT)


class Buyers:
    """The load: payments of standing orders, and workflows, from a thread of its own; a context manager."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._buy, name="buyers")
        self.paid: dict[str, str] = {}  # command id -> order
        self.bought: dict[str, str] = {}
        self.failure: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(30)
        if self.failure is not None:
            raise self.failure

    def _buy(self) -> None:
        orders = itertools.cycle(ORDERS)
        try:
            while not self._stop.wait(EVERY):
                paid = {str(uuid4()): next(orders) for _ in range(PORTION)}
                bought = {str(uuid4()): f"order-{uuid4().hex[:8]}" for _ in range(PORTION // 2)}
                record = self._cluster.record
                self._cluster.send(
                    *(record(Pay(order=order, cents=1), order, id_) for id_, order in paid.items()),
                    *(record(Buy(order=order, item="pump"), order, id_) for id_, order in bought.items()),
                )
                self.paid |= paid
                self.bought |= bought
        except BaseException as failure:
            self.failure = failure


class RollOut:
    """Replicas at their places, each replaced by one of another release; each has a name of its own for ever."""

    def __init__(self, cluster: Cluster, auditor: Auditor, profile: str) -> None:
        self._cluster, self._auditor, self._profile = cluster, auditor, profile
        self._numbers = itertools.count(1)
        self._running: dict[str, tuple[str, RunningService]] = {}

    def start(self, place: str, release: str) -> None:
        """A replica of this release."""
        service, _, _ = place.partition("-")
        replica = f"{place}.{next(self._numbers)}.release-{release}"
        app = f"{RELEASES[release]}:{service}"
        self._running[place] = replica, self._cluster.start(app, replica, profile=self._profile)

    def replace(self, place: str, release: str) -> None:
        """Stop the one that is there, start another; returns when both replicas of its service have work."""
        _, former = self._running[place]
        assert former.stop() == 0, former.log[-3000:]
        self.start(place, release)
        self.until_shared(place)

    def until_shared(self, place: str) -> None:
        """Both replicas of the service have settled something that was not settled before."""
        service, _, _ = place.partition("-")
        wanted = {replica for at, (replica, _) in self._running.items() if at.startswith(service)}
        before = set(self._auditor.settled)

        def both_work() -> bool:
            new = self._auditor.settled.keys() - before
            return wanted <= {end.replica for id_ in new for end in self._auditor.settled[id_]}

        self._auditor.until(both_work, f"{sorted(wanted)} share the work", 60)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("profile", ["kafka", pytest.param("kafka-classic", marks=pytest.mark.long)])
def test_a_roll_out_and_back_under_load_loses_doubles_and_parks_nothing(
    kafka: str, tmp_path: Path, profile: str
) -> None:
    apps = [f"{RELEASES['1']}:{name}" for name in ("till", "shop")]
    with Cluster(kafka, tmp_path, apps, [Paid.family]) as cluster, Auditor(cluster, [Paid]) as auditor:
        for announcement in cluster.codec.announcements([release_two.Paid]):
            assert cluster.codec.learn(announcement)
        rolled = RollOut(cluster, auditor, profile)
        for place in PLACES:
            rolled.start(place, "1")
        with Buyers(cluster) as buyers:
            for place in ("till-a", "shop-a"):
                rolled.until_shared(place)
            for release, place in itertools.product(("2", "1"), PLACES):
                rolled.replace(place, release)
        ids = buyers.paid.keys() | buyers.bought.keys()
        auditor.until(lambda: ids <= auditor.settled.keys(), f"all of {len(ids)} commands have ended", 60)
        auditor.read_to_ends()
        expect_each_once(auditor, buyers)
        left = [key for key in auditor.state("shop") if key.startswith(OF_INSTANCES)]
        assert left == [], "no instance is parked or left behind"


def expect_each_once(auditor: Auditor, buyers: Buyers) -> None:
    """Every command has one end and one effect, those of an order in their order; both releases had their share."""
    wrong = {id_: [end.status for end in ends] for id_, ends in auditor.settled.items()}
    assert {id_: found for id_, found in wrong.items() if found != ["completed"]} == {}
    assert len(auditor.settled) == len(buyers.paid) + 3 * len(buyers.bought), "a workflow calls two commands"
    assert auditor.dead_letters == []
    assert {auditor.settled[id_][0].result for id_ in buyers.bought} == {'{"text":"1 payment of 4"}'}
    payments: defaultdict[str, list[int]] = defaultdict(list)
    releases: Counter[str] = Counter()
    for found in auditor.events[Paid]:
        assert isinstance(found.event, Paid)
        payments[found.event.order].append(found.event.payments)
        releases[found.event.release] += 1
    expected = Counter([*buyers.paid.values(), *buyers.bought.values()])
    assert payments == {order: list(range(1, count + 1)) for order, count in expected.items()}
    assert all(releases[release] > 100 for release in RELEASES), releases
