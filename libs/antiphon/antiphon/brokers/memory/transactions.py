"""Transactions: one producer per transactional id, offsets that commit with the records, time-outs and fencing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from antiphon.broker import Partition
from antiphon.brokers.memory.group import Group
from antiphon.brokers.memory.log import Log
from antiphon.errors import ProducerFenced, TransactionAborted


@dataclass(eq=False, slots=True)
class Transaction:
    """An open transaction: what it wrote where, and the offsets it carries.

    `deadline` is in the clock's seconds; the time begins to run with the first record or offset.

    `failure` is set by the first error that only an abort can answer.
    """

    owner: str
    deadline: float = float("inf")
    written: dict[Log, list[int]] = field(default_factory=dict)
    offsets: dict[Group, dict[Partition, int]] = field(default_factory=dict)
    failure: TransactionAborted | None = None

    def wrote(self, log: Log, offset: int) -> None:
        self.written.setdefault(log, []).append(offset)

    def carry(self, group: Group, offsets: Mapping[Partition, int]) -> None:
        """The group's offsets, unstable from now on."""
        carried = self.offsets.setdefault(group, {})
        group.hold([partition for partition in offsets if partition not in carried])
        carried.update(offsets)

    def end(self, commit: bool) -> None:
        """Write the markers and settle the offsets."""
        for log, offsets in self.written.items():
            log.close_transaction(self, aborted=() if commit else offsets)
        for group, carried in self.offsets.items():
            group.release(carried)
            if commit:
                group.commit(carried)


class Coordinator:
    """Every transactional id with its newest producer and its open transaction, if any.

    A producer is known by the epoch that `register` gave it; with an older one it is fenced.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._epochs: dict[str, int] = {}
        self._open: dict[str, Transaction] = {}
        self.next_deadline = float("inf")

    @property
    def open(self) -> Collection[Transaction]:
        """Those of which nobody knows yet how they end."""
        return self._open.values()

    def register(self, owner: str) -> int:
        """The epoch of a new producer; a former one is fenced and its open transaction aborted."""
        if owner in self._open:
            self._finish(self._open[owner], commit=False)
        return self._raise_epoch(owner)

    def begin(self, owner: str, epoch: int) -> Transaction:
        """Open a transaction."""
        self._check(owner, epoch)
        if owner in self._open:
            raise RuntimeError(f"{owner} has an open transaction: commit or abort it first")
        transaction = self._open[owner] = Transaction(owner)
        return transaction

    def used(self, transaction: Transaction, now: float) -> None:
        """Something is put into it."""
        if transaction.deadline > now + self._timeout:
            transaction.deadline = now + self._timeout
            self.next_deadline = min(self.next_deadline, transaction.deadline)

    def current(self, owner: str, epoch: int) -> Transaction:
        """The open transaction of this producer. Raises ProducerFenced."""
        self._check(owner, epoch)
        transaction = self._open.get(owner)
        if transaction is None:
            raise RuntimeError(f"{owner} has no open transaction: call begin first")
        return transaction

    def commit(self, owner: str, epoch: int) -> None:
        """Make all of it seen, or raise what forbids that."""
        transaction = self.current(owner, epoch)
        if transaction.failure is not None:
            raise transaction.failure
        self._finish(transaction, commit=True)

    def abort(self, owner: str, epoch: int) -> None:
        """Undo the open transaction."""
        self._finish(self.current(owner, epoch), commit=False)

    def expire(self, now: float) -> bool:
        """Abort transactions past their deadline and fence their producers; whether there were any."""
        late = [each for each in self._open.values() if each.deadline <= now]
        for transaction in late:
            self._finish(transaction, commit=False)
            self._raise_epoch(transaction.owner)
        return bool(late)

    def _check(self, owner: str, epoch: int) -> None:
        if self._epochs[owner] != epoch:
            raise ProducerFenced(f"{owner} has a newer producer, or its transaction ran out of time: make a new one")

    def _raise_epoch(self, owner: str) -> int:
        self._epochs[owner] = self._epochs.get(owner, -1) + 1
        return self._epochs[owner]

    def _finish(self, transaction: Transaction, commit: bool) -> None:
        del self._open[transaction.owner]
        self.next_deadline = min((each.deadline for each in self._open.values()), default=float("inf"))
        transaction.end(commit)
