"""Blobs in a folder: one that all replicas share, or of a single machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from antiphon.blob import Blob, Blobs, checked, day_of, intact, reference_of
from antiphon.clock import Clock
from antiphon.errors import BlobMissing, BlobStoreDown

_PARTIAL = ".partial-"  # what files are called while they are written


class FileBlobs(Blobs):
    """A folder per day, a file per blob; a file is there whole or not at all, also after a crash."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder, self._clock = folder, clock

    def put(self, value: bytes) -> str:
        reference = reference_of(value, self._clock.now())
        path = self._folder / reference
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                _write(path, value)
        except OSError as error:
            raise BlobStoreDown(f"blob {reference} cannot be written below {self._folder}: {error}") from error
        return reference

    def get(self, reference: str) -> bytes:
        try:
            return intact(reference, (self._folder / checked(reference)).read_bytes())
        except FileNotFoundError:
            raise BlobMissing(f"there is no blob {reference} below {self._folder}") from None
        except OSError as error:
            raise BlobStoreDown(f"blob {reference} cannot be read below {self._folder}: {error}") from error

    def delete(self, reference: str) -> None:
        path = self._folder / checked(reference)
        try:
            path.unlink(missing_ok=True)
            with suppress(OSError):  # others of that day are there
                path.parent.rmdir()
        except OSError as error:
            raise BlobStoreDown(f"blob {reference} cannot be deleted below {self._folder}: {error}") from error

    def older_than(self, when: float) -> Iterator[Blob]:
        today = day_of(when)
        for folder in sorted(self._folder.glob("????-??-??")):
            if folder.name < today:
                for path in sorted(folder.iterdir()):
                    if path.name.startswith(_PARTIAL):  # a crash has left it
                        path.unlink(missing_ok=True)
                    else:
                        yield Blob(f"{folder.name}/{path.name}", path.stat().st_size)


def _write(path: Path, value: bytes) -> None:
    """Under another name first, and on the disk before it gets its own."""
    with NamedTemporaryFile(dir=path.parent, prefix=_PARTIAL, delete=False) as file:
        try:
            file.write(value)
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
