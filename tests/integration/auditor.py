"""The auditor: reads what services wrote, committed records only, and counts the effects of every command."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import NamedTuple, Self

from antiphon.broker import Partition, ReaderOptions, Record
from antiphon.envelope import Envelope
from antiphon.lifecycle import CommandHasFailed, CommandSettled, DeadLetter, DeadLetterClosed
from antiphon.messages import Event, Message
from antiphon.processing.state import kept_key
from tests.integration.apps import Account, Deposited, Indexed, Noted, Reminded
from tests.integration.cluster import Cluster, Sent

PLATFORM: tuple[type[Message], ...] = (CommandHasFailed, CommandSettled, DeadLetter, DeadLetterClosed)
EFFECTS: tuple[type[Event], ...] = (Deposited, Indexed, Noted, Reminded)


class Found(NamedTuple):
    """An event as it lies in the log: the id of the message that led to it, its own id, where, and itself."""

    cause: str
    id: str
    partition: int
    event: Event


class Auditor:
    """Reads from the beginning; every `read` takes what has been committed since.

    `effects` are the events that it counts, `also` further topics that it reads.
    """

    def __init__(self, cluster: Cluster, effects: Iterable[type[Event]] = EFFECTS, also: Iterable[str] = ()) -> None:
        self._cluster = cluster
        self._folded = {kind.type_name().encode(): kind for kind in (*PLATFORM, *effects)}
        names = cluster.names
        events = map(names.events, (*cluster.families, CommandHasFailed.family))
        read = (names.lifecycle, names.dead_letters, *events, *also)
        self._partitions = [Partition(topic, number) for topic in read for number in range(cluster.partitions)]
        self._reader = cluster.broker.reader(ReaderOptions("auditor", prompt=True))
        self._reader.assign(dict.fromkeys(self._partitions, 0))
        self.settled: defaultdict[str, list[CommandSettled]] = defaultdict(list)  # by command id
        self.events: defaultdict[type[Message], list[Found]] = defaultdict(list)
        self.dead_letters: list[DeadLetter] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._reader.close()

    # -- reading -------------------------------------------------------------------------------------------------

    def read(self, timeout: float = 0.0) -> int:
        """Take what is there, and say how much; waits at most `timeout` seconds for something."""
        records = self._reader.poll(5000, timeout)
        for record in records:
            self._fold(record)
        return len(records)

    def _fold(self, record: Record) -> None:
        envelope = Envelope(record)
        kind = self._folded.get(envelope.raw("ce_type") or b"")
        if kind is not None:  # else a sighting
            self._take(envelope, self._cluster.codec.decode(record.value, envelope.content_type, kind))

    def _take(self, envelope: Envelope, message: Message) -> None:
        if isinstance(message, CommandSettled):
            self.settled[message.command_id].append(message)
        elif isinstance(message, DeadLetter):
            self.dead_letters.append(message)
        elif isinstance(message, Event) and not isinstance(message, DeadLetterClosed):
            found = Found(envelope.causation_id or "", envelope.id, envelope.record.partition, message)
            self.events[type(message)].append(found)

    def until(self, condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
        """Read until it holds; after so many seconds an AssertionError names what was waited for."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                self._cluster.note_where_threads_stand()
                raise AssertionError(f"after {seconds:g} s still not: {what}")
            self._cluster.expect_alive()
            self.read(0.05)

    def until_settled(self, sent: Iterable[Sent], seconds: float = 30.0) -> None:
        """Read until every one of these commands has an outcome."""
        missing = {each.id for each in sent}

        def none_is_missing() -> bool:
            missing.difference_update([id_ for id_ in missing if id_ in self.settled])
            return not missing

        started = len(missing)
        try:
            self.until(none_is_missing, f"all of {started} commands are settled", seconds)
        except AssertionError as late:
            raise AssertionError(f"{late}; {len(missing)} are missing, such as {sorted(missing)[:3]}") from None

    def read_to_ends(self, seconds: float = 30.0) -> None:
        """Read to the true end of every partition: past every transaction, none may be left open."""
        admin = self._cluster.broker.admin()
        ends = admin.ends(self._partitions).result(10)
        admin.close()
        self.until(lambda: all(self._reader.position(at) >= end for at, end in ends.items()), "all is read", seconds)

    def until_shared(self, replicas: set[str], accounts: list[str]) -> list[Sent]:
        """Deposit, round after round, until each of these replicas has settled some of one; all that was sent."""
        sent: list[Sent] = []

        def all_took_part() -> bool:
            now = self._cluster.deposit(accounts)
            sent.extend(now)
            self.until_settled(now)
            return self.replicas_of(now).keys() == replicas

        self.until(all_took_part, f"{sorted(replicas)} share the work")
        return sent

    def replicas_of(self, sent: Iterable[Sent]) -> Counter[str]:
        """Which replicas have settled these, and how many each."""
        return Counter(settled.replica for each in sent for settled in self.settled.get(each.id, ()))

    # -- judging -------------------------------------------------------------------------------------------------

    def expect_exactly_once(self, sent: list[Sent]) -> None:
        """These deposits are all there were, and each has taken effect once."""
        self.expect_effects(sent)
        assert self.settled.keys() == {each.id for each in sent}
        assert self.dead_letters == []

    def expect_effects(self, sent: list[Sent]) -> None:
        """Each of these deposits has one outcome, one event, in the order of its account, and is counted once in its
        account's state; nothing else has had an effect."""
        self.read_to_ends()
        outcomes = {each.id: [end.status for end in self.settled[each.id]] for each in sent}
        wrong = {id_: found for id_, found in outcomes.items() if found != ["completed"]}
        assert not wrong, f"{len(wrong)} commands did not end once, such as {list(wrong.items())[:3]}"
        self._expect_events(sent)
        self._expect_states(sent)

    def _expect_events(self, sent: list[Sent]) -> None:
        causes = Counter(found.cause for found in self.events[Deposited])
        assert causes == Counter(each.id for each in sent)
        by_account: defaultdict[str, list[Deposited]] = defaultdict(list)
        for found in self.events[Deposited]:
            assert isinstance(found.event, Deposited)
            by_account[found.event.account].append(found.event)
            (settled,) = self.settled[found.cause]
            assert settled.result == found.event.model_dump_json()
        for account, events in by_account.items():
            expected = [(n, n, n * (n + 1) // 2) for n in range(1, len(events) + 1)]
            assert [(event.number, event.position, event.total) for event in events] == expected, account

    def _expect_states(self, sent: list[Sent]) -> None:
        counted = Counter(each.account for each in sent)
        kept = self.state("accounts")
        for account, deposits in counted.items():
            state = Account.model_validate_json(kept[kept_key(Account, account.encode())])
            assert (state.deposits, state.total) == (deposits, deposits * (deposits + 1) // 2), account

    def expect_at_least_once(self, sent: list[Sent]) -> None:
        """Every reminder has an outcome and an event; where there are several, they are the same message."""
        self.read_to_ends()
        assert self.settled.keys() == {each.id for each in sent}
        ids: defaultdict[str, set[str]] = defaultdict(set)
        for found in self.events[Reminded]:
            ids[found.cause].add(found.id)
        assert ids.keys() == self.settled.keys()
        assert all(len(found) == 1 for found in ids.values())
        assert self.dead_letters == []

    def until_noted(self, seconds: float = 30.0) -> None:
        """Every deposit has been noted once, in the order of its account."""
        noted = self.events[Noted]
        self.until(lambda: len(noted) >= len(self.events[Deposited]), "every deposit is noted", seconds)
        self.read_to_ends()
        assert Counter(found.cause for found in noted) == Counter(found.id for found in self.events[Deposited])
        by_account: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        for found in self.events[Noted]:
            assert isinstance(found.event, Noted)
            by_account[found.event.account].append((found.event.number, found.event.position))
        for account, notes in by_account.items():
            assert notes == [(n, n) for n in range(1, len(notes) + 1)], account

    def state(self, service: str) -> dict[bytes, bytes]:
        """What a service keeps: the last value of every key, read to the true end."""
        return {key: value for (_, key), value in self.entries(service).items()}

    def entries(self, service: str) -> dict[tuple[int, bytes], bytes]:
        """The same by partition and key: every slice has a `progress` of its own."""
        return last_values(self._cluster, self._cluster.names.state(service))


def last_values(cluster: Cluster, topic: str) -> dict[tuple[int, bytes], bytes]:
    """A compacted topic, folded, by partition and key."""
    partitions = [Partition(topic, number) for number in range(cluster.partitions)]
    admin = cluster.broker.admin()
    ends = admin.ends(partitions).result(10)
    admin.close()
    reader = cluster.broker.reader(ReaderOptions("auditor", prompt=True))
    reader.assign(dict.fromkeys(partitions, 0))
    found: dict[tuple[int, bytes], bytes] = {}
    deadline = time.monotonic() + 30
    while any(reader.position(at) < end for at, end in ends.items()):
        assert time.monotonic() < deadline, f"{topic} cannot be read to its end"
        for record in reader.poll(5000, 0.05):
            assert record.key is not None
            if record.value is None:
                found.pop((record.partition, record.key), None)
            else:
                found[record.partition, record.key] = record.value
    reader.close()
    return found


class Run(NamedTuple):
    """One run of a handler, as the journal has it."""

    message_id: str
    pid: int


class Runs:
    """The journal, read as it grows."""

    def __init__(self, cluster: Cluster) -> None:
        self._file = cluster.journal_path.open()
        self._begun = ""
        self.found: list[Run] = []
        self._by_pid: defaultdict[int, set[str]] = defaultdict(set)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def read(self) -> list[Run]:
        """Every run so far."""
        for line in self._file:
            self._begun += line
            if not line.endswith("\n"):
                break  # a line on two pages of memory is seen in two parts
            message_id, pid = self._begun.split()
            self._begun = ""
            self.found.append(Run(message_id, int(pid)))
            self._by_pid[int(pid)].add(message_id)
        return self.found

    def of(self, pid: int) -> set[str]:
        """Messages whose handler a process has run."""
        self.read()
        return self._by_pid[pid]

    def repeated(self) -> dict[str, int]:
        """Messages whose handler ran more than once, and how often."""
        return {id_: count for id_, count in Counter(run.message_id for run in self.read()).items() if count > 1}

    def abandoned_by(self, pid: int) -> set[str]:
        """Messages that a process had in its hands, and a later one again."""
        last = {run.message_id: run.pid for run in self.read()}
        return {message_id for message_id in self.of(pid) if last[message_id] != pid}
