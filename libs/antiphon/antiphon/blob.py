"""The contract of a blob store: values that are too large for a record, under a reference that fits into one.

A reference is the day (UTC) on which the value was put, and the SHA-256 of its bytes: `2026-11-21/9f86…`. So the same
value put again on that day is the same blob, whoever puts it; and a day that is over is never added to, so that a whole
day can be listed and deleted while others put.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from typing import NamedTuple

from antiphon.errors import BlobDamaged, BlobMissing

REFERENCE = re.compile(r"\d{4}-\d\d-\d\d/[0-9a-f]{64}")


class Blob(NamedTuple):
    """One that is there; `size` in bytes."""

    reference: str
    size: int


class Blobs(ABC):
    """Keeps values by reference. Every method may block, so none is called on a worker's loop; all may be called from
    several threads. BlobStoreDown where the store cannot be reached or does not answer as it should.
    """

    @abstractmethod
    def put(self, value: bytes) -> str:
        """Keep the value, durably; its reference."""

    @abstractmethod
    def get(self, reference: str) -> bytes:
        """The value (BlobMissing if there is none of this name, BlobDamaged if it is not what was put)."""

    @abstractmethod
    def delete(self, reference: str) -> None:
        """Forget it; nothing happens where it is not there (BlobMissing for what can be no reference)."""

    @abstractmethod
    def older_than(self, when: float) -> Iterator[Blob]:
        """What was put on days that had ended at this time (seconds since 1970), the oldest day first."""


def reference_of(value: bytes, now: float) -> str:
    """The reference of a value that is put now (seconds since 1970)."""
    return f"{day_of(now)}/{sha256(value).hexdigest()}"


def day_of(when: float) -> str:
    """The day (UTC) of a time in seconds since 1970."""
    return datetime.fromtimestamp(when, UTC).date().isoformat()


def checked(reference: str) -> str:
    """The reference, if it has the form of one (BlobMissing if not: it may come from anywhere, and becomes a path)."""
    if not REFERENCE.fullmatch(reference):
        raise BlobMissing(f"{reference[:100]!r} is no reference of a blob: it has the form 2026-11-21/<SHA-256>")
    return reference


def intact(reference: str, value: bytes) -> bytes:
    """The value, if it is the one that was put under this reference."""
    if sha256(value).hexdigest() != reference.partition("/")[2]:
        raise BlobDamaged(f"blob {reference} has {len(value)} bytes that are not those that were put")
    return value
