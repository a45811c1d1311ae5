"""Thirteen bugs that tests on a quiet machine do not show; each takes away one thing that must stay true."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import pytest

from antiphon.broker import Admin, Outgoing, Partition, Producer
from antiphon.envelope import Envelope
from antiphon.processing.agenda import QUEUED
from antiphon.processing.asking import Steps, ask
from antiphon.processing.batch import Commit, Outcome
from antiphon.processing.cancels import FollowedCancels
from antiphon.processing.commit import TransactionalCommitter
from antiphon.processing.committing import Commits
from antiphon.processing.delivery import Delivery
from antiphon.processing.ledger import Ledger, LedgerWindow
from antiphon.processing.membership import Membership
from antiphon.processing.offsets import SourceOffsets
from antiphon.processing.parking import PARKED
from antiphon.processing.restore import Restore
from antiphon.processing.settlement import Settlement
from antiphon.processing.slice import Slice
from antiphon.processing.waits import Waits
from antiphon.processing.worker import Worker

Plant = Callable[[pytest.MonkeyPatch], None]


def the_fence_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No bug: what else keeps former owners from writing is left out. The commit under way is not abandoned when slices
    are lost, and no transaction holds up whoever restores, since nothing is written before the commit."""
    original = Worker.lost

    def lost(self: Worker, partitions: Collection[int]) -> None:
        commit, self._commits.under_way = self._commits.under_way, None
        original(self, partitions)
        self._commits.under_way = commit

    monkeypatch.setattr(Worker, "lost", lost)
    monkeypatch.setattr("antiphon.processing.commit.AT_ONCE", -1)


def commit_before_settle(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record counts as finished when it has been delivered."""
    deliver, finish = SourceOffsets.deliver, SourceOffsets.finish

    def deliver_and_finish(self: SourceOffsets, offset: int) -> bool:
        new = deliver(self, offset)
        if new:
            finish(self, offset)
        return new

    monkeypatch.setattr(SourceOffsets, "deliver", deliver_and_finish)
    monkeypatch.setattr(SourceOffsets, "finish", lambda self, offset: None)


def offsets_outside_the_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs are committed first, state and offsets after them."""
    original = TransactionalCommitter._commit

    def commit(self: TransactionalCommitter, producer: Producer, commit: Commit) -> None:
        producer.commit(10)
        producer.begin()
        producer.send([output for output in commit.outputs if ".state." in output.topic])
        original(self, producer, commit)

    def send(self: TransactionalCommitter, commit: Commit) -> None:
        if self._producer is not None:
            commit.sent = True
            self._producer.send([output for output in commit.outputs if ".state." not in output.topic])

    monkeypatch.setattr(TransactionalCommitter, "_commit", commit)
    monkeypatch.setattr(TransactionalCommitter, "send", send)


def metadata_taken_on_the_commit_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be that of a membership which no longer owns the slice."""
    the_fence_alone(monkeypatch)
    members: dict[int, Any] = {}
    begin, original = Commits.begin, TransactionalCommitter._commit

    def noted(self: Commits, topics: Any, now: float) -> None:
        members[id(self._committer)] = self._parts.membership
        begin(self, topics, now)

    def commit(self: TransactionalCommitter, producer: Producer, commit: Commit) -> None:
        commit.metadata, commit.abandoned = members[id(self)].metadata(), False
        original(self, producer, commit)

    monkeypatch.setattr(Commits, "begin", noted)
    monkeypatch.setattr(TransactionalCommitter, "_commit", commit)


def state_without_a_real_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction that carries no offset is fenced by nothing."""
    the_fence_alone(monkeypatch)

    def commit(self: TransactionalCommitter, producer: Producer, commit: Commit) -> None:
        producer.commit(10)
        self._open_next(producer)

    monkeypatch.setattr(TransactionalCommitter, "_commit", commit)


def restore_to_the_end_of_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing more comes must be the end: the last stable offset is taken for it."""

    def read_state(self: Restore, state: Partition) -> Steps[None]:
        start = (yield from ask(lambda: self._admin.log_starts([state])))[state]
        self._intake.assign({state: start})
        before = -2
        while self._intake.position(state) != before:
            before = self._intake.position(state)
            yield
        self._intake.unassign([state])

    monkeypatch.setattr(Restore, "_read_state", read_state)


def parked_key_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next owner does not know of keys that its predecessor had parked."""
    original = Waits.awaken

    def awaken(self: Waits, slice_: Slice) -> None:
        everything = dict(slice_.entries)
        for key in everything:
            if key.startswith((PARKED, QUEUED)):
                del slice_.entries[key]
        original(self, slice_)
        slice_.entries |= everything

    monkeypatch.setattr(Waits, "awaken", awaken)


def ledger_evicted_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """The window is taken to be full after one batch."""
    original = Ledger._forget

    def forget(self: Ledger, now: float) -> None:
        self._window = LedgerWindow(ids=1)
        original(self, now)

    monkeypatch.setattr(Ledger, "_forget", forget)


def retry_dropped_as_duplicate(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for its next attempt is in the ledger already, and whoever resumes it asks the ledger."""
    defer, due = Waits.defer, Waits.due

    def note_and_defer(self: Waits, delivery: Delivery, when: float, now: float) -> None:
        defer(self, delivery, when, now)
        if delivery.attempt and delivery.ledger_id is not None:
            delivery.slice.ledger.add(delivery.ledger_id)

    def due_unless_known(self: Waits, slice_: Slice, key: bytes, now: float) -> Any:
        waiting = due(self, slice_, key, now)
        id_ = key.removeprefix(b"agenda/")
        if waiting is not None and key.startswith(b"agenda/") and bytes.fromhex(id_.decode()) in slice_.ledger:
            self.drop(slice_, bytes.fromhex(id_.decode()), key)
            self._telling.batch.touch(slice_, now)
            return None
        return waiting

    monkeypatch.setattr(Waits, "defer", note_and_defer)
    monkeypatch.setattr(Waits, "due", due_unless_known)


def memory_kept_after_abort(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a commit that failed, the slices go on with what they have in memory."""
    original = Commits.take_outcome

    def take_outcome(self: Commits) -> None:
        commit = self.under_way
        if commit is not None and commit.outcome is Outcome.ABORTED:
            commit.outcome = Outcome.COMMITTED
        original(self)

    monkeypatch.setattr(Commits, "take_outcome", take_outcome)


def scheduled_send_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry of what is to be sent stays after it was sent."""
    original = Waits._send

    def send(self: Waits, slice_: Slice, key: bytes, waiting: Any, now: float) -> None:
        kept = slice_.entries[key]
        original(self, slice_, key, waiting, now)
        slice_.keep(key, kept)

    monkeypatch.setattr(Waits, "_send", send)


def cancel_after_new_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new owner reads what is cancelled from now on."""
    original = FollowedCancels.read

    def read(self: FollowedCancels, slice_: Slice) -> Steps[None]:
        admin, self._admin = self._admin, _OnlyTheEnd(self._admin)  # type: ignore[assignment]
        try:
            yield from original(self, slice_)
        finally:
            self._admin = admin

    monkeypatch.setattr(FollowedCancels, "read", read)


class _OnlyTheEnd:
    """Says that a log begins where it ends."""

    def __init__(self, admin: Admin) -> None:
        self.log_starts = admin.ends
        self.ends = admin.ends


def forwarded_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is forwarded at once and without its id, so that a repeated attempt forwards another message."""
    original = Settlement.forward

    def forward(self: Settlement, slice_: Slice, envelope: Envelope, key: bytes, partition: int, now: float) -> None:
        original(self, slice_, envelope, key, partition, now)
        moved = self.batch.outputs[-1]
        unnamed = [header for header in moved.headers if header[0] != "ce_id"]
        self.batch.outputs[-1] = Outgoing(*moved[:4], unnamed)
        self.batch.outputs.append(self.batch.outputs[-1])

    monkeypatch.setattr(Settlement, "forward", forward)


def a_refused_member_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """The group refuses what it commits and tells it nothing: it restores and tries again for ever."""
    monkeypatch.setattr(Membership, "doubtful", lambda self, now: False)


PLANTS: tuple[Plant, ...] = (
    commit_before_settle,
    offsets_outside_the_transaction,
    metadata_taken_on_the_commit_thread,
    state_without_a_real_offset,
    restore_to_the_end_of_partition,
    parked_key_forgotten,
    ledger_evicted_too_early,
    retry_dropped_as_duplicate,
    memory_kept_after_abort,
    scheduled_send_twice,
    cancel_after_new_owner,
    forwarded_twice,
    a_refused_member_stays,
)
