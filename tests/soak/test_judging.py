"""The judge of the soak: content with a quiet log, and not with one in which a record is missing, twice or late."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from uuid import UUID, uuid5

import pytest

from antiphon.broker import Record
from antiphon.lifecycle import CommandSettled, DeadLetterClosed
from antiphon.messages import Message
from antiphon.processing.agenda import AGENDA
from antiphon.processing.state import PROGRESS, kept_key
from antiphon.topics import TopicNames
from tests.integration.cluster import Cluster
from tests.soak.apps import REGULAR, OrderTally, PlaceOrder, ReserveItem
from tests.soak.audit import SoakAuditor
from tests.soak.judging import DISORDERED, DOUBLED, LOST, STUCK, VERDICTS, WRONG, Judge
from tests.soak.load import Acknowledged
from tests.soak.operator import Operator
from tests.soak.running import APPS, FAMILIES

NAMESPACE = UUID("6f0a1ac4-6a0e-4f53-9d0b-5f0e8f7c2d11")
CUSTOMERS = ("anna", "boris", "clara", "dmitri")
Entries = dict[tuple[int, bytes], bytes]


@dataclass(frozen=True, slots=True)
class Mischief:
    """What the auditor is made to see: of a topic's first record (of this class) so many copies, or it behind the next
    of its key; the state changed."""

    topic: Callable[[TopicNames], str] = lambda names: ""
    copies: int = 1
    kind: type[Message] | None = None
    late: bool = False
    state: Callable[[Entries], None] = lambda entries: None


class MisledAuditor(SoakAuditor):
    """Sees a log in which a mischief has been done."""

    def __init__(self, cluster: Cluster, mischief: Mischief) -> None:
        self._mischief, self._topic = mischief, mischief.topic(cluster.names)
        self._done = False
        self._kept_back: Record | None = None
        super().__init__(cluster)

    def _fold(self, record: Record) -> None:
        if self._kept_back is not None and (record.topic, record.key) == (self._topic, self._kept_back.key):
            super()._fold(record)
            record, self._kept_back = self._kept_back, None
            super()._fold(record)
        elif self._done or not self._concerns(record):
            super()._fold(record)
        elif self._mischief.late:
            self._done, self._kept_back = True, record
        else:
            self._done = True
            for _ in range(self._mischief.copies):
                super()._fold(record)

    def _concerns(self, record: Record) -> bool:
        kind = self._mischief.kind
        of_kind = kind is None or ("ce_type", kind.type_name().encode()) in record.headers
        return record.topic == self._topic and of_kind

    def entries(self, service: str) -> Entries:
        found = super().entries(service)
        if service == "orders":
            self._mischief.state(found)
        return found


@pytest.fixture(scope="module")
def quiet(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A log of a few orders, some of which failed, all asked for; nobody serves any more."""
    with Cluster(kafka, tmp_path_factory.mktemp("quiet"), APPS, FAMILIES) as cluster, SoakAuditor(cluster) as auditor:
        services = [cluster.start(app, app.rpartition(":")[2]) for app in APPS]
        for number, id_ in enumerate(_ids()):
            customer = CUSTOMERS[number % len(CUSTOMERS)]
            order = PlaceOrder(customer=customer, amount=number, conduct="refusing" if customer == "clara" else "quick")
            asker = {"ce_replyto": f"{cluster.names.replies}/0".encode(), "ce_replytoken": id_.encode()}
            cluster.send(cluster.record(order, customer, id_, **asker))
        reserve = ReserveItem(customer=f"{REGULAR}1", amount=1, conduct="refusing")
        cluster.send(*(cluster.record(reserve, reserve.customer, str(uuid5(NAMESPACE, name))) for name in "xy"))
        operator = Operator(cluster, auditor, 1)

        def all_have_ended() -> bool:
            operator.step()
            return len(auditor.accepted) > len(_ids()) and auditor.at_rest and len(auditor.dead_letters_closed) > 1

        auditor.until(all_have_ended, "all have ended", 60)
        operator.close()

        def all_is_read() -> bool:
            """What comes twice has no end of its own, and the operator may just have asked for something again."""
            found = Judge(cluster, auditor, Acknowledged(set(_ids()), set())).violations()
            return STUCK not in {violation.verdict for violation in found}

        auditor.until(all_is_read, "all that lies in the log is read", 30)
        assert [service.stop() for service in services] == [0, 0]
        yield cluster


def _ids() -> list[str]:
    return [str(uuid5(NAMESPACE, str(number))) for number in range(20)]


def _verdicts(cluster: Cluster, mischief: Mischief, ids: set[str] | None = None) -> set[str]:
    with MisledAuditor(cluster, mischief) as auditor:
        auditor.read_to_ends()
        acknowledged = Acknowledged(set(_ids()) if ids is None else ids, set())
        return {violation.verdict for violation in Judge(cluster, auditor, acknowledged).violations()}


def _recounted(more: int) -> Callable[[Entries], None]:
    def change(entries: Entries) -> None:
        (at,) = [key for key in entries if key[1] == kept_key(OrderTally, b"anna")]
        tally = OrderTally.model_validate_json(entries[at])
        entries[at] = OrderTally(count=tally.count + more, total=tally.total).model_dump_json().encode()

    return change


def _behind(entries: Entries) -> None:
    del entries[next(key for key in entries if key[1] == PROGRESS and b"commands" in entries[key])]


def _waiting(entries: Entries) -> None:
    entries[0, AGENDA + b"00"] = b"{}"


ORDERS, CHARGES, CLOSINGS = (lambda names, family=family: names.events(family) for family in FAMILIES)

LIFECYCLE = attrgetter("lifecycle")

MISCHIEF: dict[str, tuple[Mischief, str]] = {
    "an outcome twice": (Mischief(LIFECYCLE, 2, CommandSettled), DOUBLED),
    "no outcome": (Mischief(LIFECYCLE, 0, CommandSettled), LOST),
    "an event twice": (Mischief(ORDERS, 2), DOUBLED),
    "no event": (Mischief(ORDERS, 0), LOST),
    "events out of order": (Mischief(ORDERS, late=True), DISORDERED),
    "the other service's event twice": (Mischief(CHARGES, 2), DOUBLED),
    "no event of the other service": (Mischief(CHARGES, 0), WRONG),
    "what followed from an event twice": (Mischief(CLOSINGS, 2), DOUBLED),
    "nothing followed from an event": (Mischief(CLOSINGS, 0), LOST),
    "a command to the other service twice": (Mischief(lambda names: names.commands("payments"), 2), DOUBLED),
    "no command to the other service": (Mischief(lambda names: names.commands("payments"), 0), LOST),
    "an answer twice": (Mischief(lambda names: names.replies, 2), DOUBLED),
    "no answer": (Mischief(lambda names: names.replies, 0), LOST),
    "a dead letter twice": (Mischief(lambda names: names.dead_letters, 2), DOUBLED),
    "no dead letter": (Mischief(lambda names: names.dead_letters, 0), LOST),
    "a dead letter dealt with twice": (Mischief(LIFECYCLE, 2, DeadLetterClosed), DOUBLED),
    "a dead letter that nobody dealt with": (Mischief(LIFECYCLE, 0, DeadLetterClosed), STUCK),
    "counted once too often": (Mischief(state=_recounted(1)), DOUBLED),
    "not counted": (Mischief(state=_recounted(-1)), LOST),
    "a position that stands still": (Mischief(state=_behind), STUCK),
    "something that waits for ever": (Mischief(state=_waiting), STUCK),
}


@pytest.mark.timeout(120)
@pytest.mark.promise("S0-45")
def test_a_quiet_log_is_blameless(quiet: Cluster) -> None:
    assert _verdicts(quiet, Mischief()) == set()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", MISCHIEF)
def test_what_is_missing_twice_or_late_in_the_log_is_found(quiet: Cluster, name: str) -> None:
    mischief, verdict = MISCHIEF[name]
    assert verdict in _verdicts(quiet, mischief)


def test_what_was_acknowledged_and_is_not_in_the_log_is_lost(quiet: Cluster) -> None:
    assert _verdicts(quiet, Mischief(), {*_ids(), str(uuid5(NAMESPACE, "lost"))}) == {LOST}


def test_every_verdict_is_given_at_least_once_here() -> None:
    assert {verdict for _, verdict in MISCHIEF.values()} == set(VERDICTS)
