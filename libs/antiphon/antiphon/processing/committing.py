"""Closing batches and living with what becomes of them."""

from __future__ import annotations

from antiphon.broker import Member, Outgoing, Partition
from antiphon.processing.batch import Batch, Commit, Input
from antiphon.processing.restore import SliceTopics
from antiphon.processing.slice import Slice
from antiphon.processing.state import OUTCOME, PROGRESS, write_progress

OUTCOMES_KEPT = 86_400.0  # seconds for which a duplicate gets its recorded outcome


def close_batch(batch: Batch, topics: SliceTopics, member: Member, now: float) -> Commit:
    """The batch with the state of its slices, its fence, and the metadata of this moment (on the poll thread)."""
    offsets: dict[Partition, int] = {}
    for slice_ in batch.slices.values():
        read = slice_.sources if topics.state is None else (topics.commands,)
        offsets |= {Partition(topic, slice_.number): slice_.sources[topic].contiguous for topic in read}
        if topics.state is not None:
            batch.outputs += state_records(slice_, topics.state, topics.partitions, now)
    metadata = None if topics.state is None else member.metadata()
    return Commit(batch.outputs, batch.slices, batch.inputs, offsets, metadata, now, told=batch.told)


def state_records(slice_: Slice, topic: str, partitions: int, now: float) -> list[Outgoing]:
    """What the slice's state has become: changed entries, its progress, the ledger's new ids."""
    _forget_outcomes(slice_, now)
    changed = dict(slice_.changed)
    slice_.changed.clear()
    changed[PROGRESS] = write_progress(slice_.sources, partitions)
    pack = slice_.ledger.pack(now)
    if pack is not None:
        changed[pack[0]] = pack[1]
    return [Outgoing(topic, slice_.number, key, value, []) for key, value in changed.items()]


def _forget_outcomes(slice_: Slice, now: float) -> None:
    while slice_.outcomes and slice_.outcomes[0][0] < now - OUTCOMES_KEPT:
        _, message_id = slice_.outcomes.popleft()
        slice_.keep(OUTCOME + message_id.encode(), None)


class Suspicion:
    """After a refused batch: its inputs are tried one at a time, so that only the guilty one is given up."""

    def __init__(self) -> None:
        self._suspects: set[Input] = set()
        self.condemned: dict[Input, int] = {}  # how often the cluster has refused each alone

    def __bool__(self) -> bool:
        return bool(self._suspects)

    def refused(self, inputs: list[Input]) -> None:
        """This batch was refused because of one of its records.

        While inputs are tried one at a time it is the first one: others in the batch ended because that one did, such
        as duplicates behind it.
        """
        if len(inputs) == 1 or (inputs and inputs[0] in self._suspects):
            self._suspects.discard(inputs[0])
            self.condemned[inputs[0]] = self.condemned.get(inputs[0], 0) + 1
        else:
            self._suspects.update(inputs)

    def committed(self, inputs: list[Input]) -> None:
        """These are settled."""
        self._suspects.difference_update(inputs)
        for settled in inputs:
            self.condemned.pop(settled, None)

    def forget(self, number: int) -> None:
        """Another owner will find out about this slice's inputs."""
        self._suspects = {found for found in self._suspects if found[1] != number}
        self.condemned = {found: times for found, times in self.condemned.items() if found[1] != number}
