"""Closing batches and living with what becomes of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from antiphon.broker import Outgoing, Partition
from antiphon.processing.batch import Batch, Commit, Input, Outcome, tell
from antiphon.processing.commit import Committer
from antiphon.processing.measures import Measures
from antiphon.processing.membership import Membership
from antiphon.processing.options import WorkerOptions, WorkerParts
from antiphon.processing.ownership import Slices
from antiphon.processing.restore import SliceTopics
from antiphon.processing.settlement import Settlement
from antiphon.processing.slice import Slice
from antiphon.processing.state import OUTCOME, PROGRESS, write_progress
from antiphon.processing.suspicion import Suspicion

log = logging.getLogger(__name__)

OUTCOMES_KEPT = 86_400.0  # seconds for which a duplicate gets its recorded outcome


def close_batch(batch: Batch, topics: SliceTopics, membership: Membership, now: float) -> Commit:
    """The batch with the state of its slices, its fence, and the metadata of this moment (on the poll thread)."""
    offsets: dict[Partition, int] = {}
    for slice_ in batch.slices.values():
        read = slice_.sources if topics.state is None else (topics.commands,)
        offsets |= {Partition(topic, slice_.number): slice_.sources[topic].contiguous for topic in read}
        if topics.state is not None:
            batch.outputs += state_records(slice_, topics.state, topics.partitions, now)
    metadata = None if topics.state is None else membership.metadata()
    return Commit(batch.outputs, batch.slices, batch.inputs, offsets, metadata, now, told=batch.told)


def state_records(slice_: Slice, topic: str, partitions: int, now: float) -> list[Outgoing]:
    """What the slice's state has become: changed entries, its progress, the ledger's new ids."""
    _forget_outcomes(slice_, now)
    changed = dict(slice_.changed)
    slice_.changed.clear()
    pack = slice_.ledger.pack(now)
    if pack is not None:
        changed[pack[0]] = pack[1]
    changed[PROGRESS] = write_progress(slice_.sources, partitions)  # the last: an export is cut behind it
    return [Outgoing(topic, slice_.number, key, value, []) for key, value in changed.items()]


def _forget_outcomes(slice_: Slice, now: float) -> None:
    while slice_.outcomes and slice_.outcomes[0][0] < now - OUTCOMES_KEPT:
        _, message_id = slice_.outcomes.popleft()
        slice_.keep(OUTCOME + message_id.encode(), None)


class CommitsParts(NamedTuple):
    """What commits concern. `again` restores slices that are in doubt, `committed` goes on after a success."""

    settlement: Settlement
    suspicion: Suspicion
    slices: Slices
    measures: Measures
    membership: Membership
    again: Callable[[Collection[int]], None]
    committed: Callable[[Commit], None]


class Commits:
    """The commit under way, of which there is one at most: begun, looked after, given up, and what follows from it."""

    def __init__(self, make: Callable[[], Committer], parts: CommitsParts, on: WorkerParts, options: WorkerOptions):
        self._make, self._parts, self._options = make, parts, options
        self._executor, self._clock = on.executor, on.clock
        self._committer = make()
        self._next_prepare = self._clock.now() + 1.0
        self.under_way: Commit | None = None
        self.closing = False  # the worker leaves: a call that does not return is not waited for
        self._executor.commit(self._committer.prepare)

    @property
    def prepared(self) -> bool:
        """Whether the producer is ready; no slice is restored before."""
        return self._committer.prepared

    def prepare_again(self, now: float) -> None:
        """The producer was not ready: try once more, a second after the last time."""
        if self.under_way is None and now >= self._next_prepare:
            self._next_prepare = now + 1.0
            if self._executor.join_commits(0):
                self._executor.commit(self._committer.prepare)

    @property
    def idle(self) -> bool:
        """No commit is under way, and nothing waits for one."""
        return self.under_way is None and not self._parts.settlement.batch

    def inputs(self) -> list[Sequence[Input]]:
        """The inputs of the batches that are not committed yet."""
        return [self._parts.settlement.batch.inputs, self.under_way.inputs if self.under_way is not None else ()]

    def begin(self, topics: SliceTopics, now: float) -> None:
        """Close the batch that is being filled and send it on its way; none may be under way."""
        commit = self.under_way = close_batch(self._parts.settlement.take_batch(), topics, self._parts.membership, now)
        committer = self._committer
        committer.send(commit)
        self._executor.commit(lambda: committer.run(commit))

    def take_outcome(self) -> None:
        """Act on what became of the commit under way, if that is known; one that hangs is given up."""
        commit = self.under_way
        if commit is None:
            return
        if commit.outcome is None and self._clock.now() - commit.alive >= self._options.commit.stuck:
            self._give_up(commit)
        outcome = commit.outcome
        if outcome is None:
            return
        self.under_way = None
        self._parts.measures.commit_ended(commit)
        tell(commit.told, committed=outcome is Outcome.COMMITTED)
        if outcome is Outcome.COMMITTED:
            self._parts.membership.confirmed()
            self._parts.suspicion.committed(commit.inputs)
            self._parts.committed(commit)
            return
        log.warning("%d records were not committed (%s): %s", len(commit.inputs), outcome.value, commit.reason)
        if commit.disowned:
            self._parts.membership.refused(self._clock.now())
        if outcome is Outcome.REFUSED:
            self._parts.suspicion.refused(commit.inputs)
        self._parts.again(self.drop_batch(commit.slices))

    def _give_up(self, commit: Commit) -> None:
        """Its call into the client library does not return: leave thread and producer behind. A new producer of the
        same id fences the old one, so that whatever it still does is not seen."""
        commit.abandoned = True
        self._executor.abandon_commits()
        self._committer = self._make()
        self._executor.commit(self._committer.prepare)
        commit.reason, commit.outcome = "the client library did not return", Outcome.UNKNOWN

    def drop_batch(self, others: Mapping[int, Slice] | None = None) -> list[int]:
        """Give up the batch that is being filled; which of its slices, and of these others, are ours still."""
        doubtful = {**(others or {}), **self._parts.settlement.take_batch().drop()}
        owned = self._parts.slices.owned
        return [number for number, slice_ in doubtful.items() if owned.get(number) is slice_]

    def abandon(self) -> None:
        """A slice of the commit under way may be somebody else's already: it is not to succeed any more."""
        if self.under_way is not None:
            self.under_way.abandoned = True

    def end(self) -> None:
        """Return only when no transaction is under way: decided, or given up at the end of the budget."""
        if self.under_way is None:
            return
        if not self._executor.join_commits(self._options.revoke_budget):
            self.under_way.abandoned = True
            limits = self._options.commit
            patience = 0.0 if self.closing else limits.whole + limits.stuck
            if not self._executor.join_commits(patience) and self.under_way.outcome is None:
                self._give_up(self.under_way)
        self.take_outcome()

    def close(self) -> None:
        """Let go of the producer."""
        self._committer.close()
