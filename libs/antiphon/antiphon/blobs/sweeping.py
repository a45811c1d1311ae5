"""Deleting the blobs that no record can name any more.

Every record of the installation is read once and searched for references, which stand in headers, states and dead
letters in clear. What was put on a day that is not over is not looked at, so what is about to be named is safe; since a
reference may be copied from one topic to another while they are read, what has come meanwhile is read after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from antiphon.blob import REFERENCE, Blobs
from antiphon.broker import Admin, Broker, Partition, Reader, ReaderOptions, Record
from antiphon.errors import BrokerUnavailable, OffsetOutOfRange

_REFERENCE = re.compile(REFERENCE.pattern.encode())
_ANSWER = 30.0  # seconds that the cluster may take for an answer
_AT_ONCE = 5000


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep found: references that nothing names, their bytes; how many are named, among so many records."""

    unnamed: tuple[str, ...]
    size: int
    named: int
    records: int


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """Topics begin with `prefix`. Without `delete` it only looks. `patience` is for how many seconds nothing may come
    of a partition that has not been read to its end: a transaction that hangs holds it back for so long."""

    prefix: str
    delete: bool = True
    patience: float = 60.0


def sweep(blobs: Blobs, broker: Broker, before: float, options: SweepOptions) -> Swept:
    """Delete what was put on days that had ended at `before` (seconds since 1970) and no record names.

    Nothing is deleted unless all records were read: BrokerUnavailable if some could not be. BlobStoreDown: the store.
    """
    found = {blob.reference.encode(): blob.size for blob in blobs.older_than(before)}
    unnamed, records = dict(found), 0
    if unnamed:
        admin, reader = broker.admin(), broker.reader(ReaderOptions(f"{options.prefix}blobs"))
        try:
            records = _Scan(admin, reader, options).remove_named(unnamed)
        finally:
            reader.close()
            admin.close()
    for reference in unnamed if options.delete else ():
        blobs.delete(reference.decode())
    references = tuple(reference.decode() for reference in unnamed)
    return Swept(references, sum(unnamed.values()), len(found) - len(unnamed), records)


class _Scan:
    """All partitions of an installation, read to their ends, and then to what these are by then."""

    def __init__(self, admin: Admin, reader: Reader, options: SweepOptions) -> None:
        self._admin, self._reader, self._patience = admin, reader, options.patience
        self._partitions = [
            Partition(topic, number)
            for topic, description in admin.topics().items()
            if topic.startswith(options.prefix)
            for number in range(description.partitions)
        ]

    def remove_named(self, references: dict[bytes, int]) -> int:
        """Take out of `references` what any record names; how many records there were."""
        self._reader.assign(self._starts(self._partitions))
        read = 0
        for _ in range(2):
            ends = self._admin.ends(self._partitions).result(_ANSWER)
            for records in self._until(ends):
                read += len(records)
                for record in records:
                    for reference in _named(record):
                        references.pop(reference, None)
        return read

    def _starts(self, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
        return self._admin.log_starts(list(partitions)).result(_ANSWER)

    def _until(self, ends: Mapping[Partition, int]) -> Iterable[list[Record]]:
        wait = min(1.0, self._patience)
        idle, left = 0.0, self._behind(ends)
        while left:
            try:
                records = self._reader.poll(_AT_ONCE, wait)
            except OffsetOutOfRange:  # what stood there has just been deleted by age
                self._reader.assign(self._starts(left))
                continue
            idle = 0.0 if records else idle + wait
            if idle > self._patience:
                names = ", ".join(f"{one.topic}/{one.number}" for one in left[:5])
                raise BrokerUnavailable(f"{len(left)} partitions could not be read to their ends ({names}); try again")
            yield records
            left = self._behind(ends)

    def _behind(self, ends: Mapping[Partition, int]) -> list[Partition]:
        return [one for one, end in ends.items() if 0 < end > self._reader.position(one)]


def _named(record: Record) -> Iterable[bytes]:
    for text in (record.key, record.value, *(value for _, value in record.headers)):
        if text:
            yield from _REFERENCE.findall(text)
