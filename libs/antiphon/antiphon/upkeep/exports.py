"""The file of an export, format 1: JSON lines that check themselves, packed by gzip where the name ends in `.gz`.

1. a head: format, version, service, prefix, partitions, when;
2. for each slice: `{"slice": p, "end": offset}`, its entries as `["key", "value"]` in base64, sorted by key but for the
   progress, which is the last one, and `{"slice": p, "entries": how many, "sha256": …}` over lengths, keys and values;
3. a foot: how many slices and entries, and a SHA-256 over the head's line and all slices' digests.
"""

from __future__ import annotations

import gzip
import json
import os
from base64 import b64decode, b64encode
from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, NamedTuple

from antiphon.errors import ConfigurationError
from antiphon.processing.state import PROGRESS
from antiphon.upkeep.slices import SliceState

FORMAT, VERSION = "antiphon.state", 1


@dataclass(frozen=True, slots=True)
class Head:
    """Whose state it is; `exported_at` is RFC 3339."""

    service: str
    prefix: str
    partitions: int
    exported_at: str


class Summary(NamedTuple):
    """What a file holds: slices, entries, bytes of keys and values; `digest` stands for all of it."""

    slices: int
    entries: int
    size: int
    digest: str


class ExportWriter:
    """Writes slice after slice; the file has its name only once it is whole."""

    def __init__(self, path: Path, head: Head) -> None:
        self._path, self._part = path, path.with_name(path.name + ".part")
        self._file: IO[bytes] = _open(self._part, "wb", packed=path.suffix == ".gz")
        self._all = sha256()
        self._slices = self._entries = self._size = 0
        self._all.update(self._line({"format": FORMAT, "version": VERSION, **asdict(head)}))

    def write(self, state: SliceState) -> None:
        """Append a slice."""
        digest = sha256()
        self._line({"slice": state.number, "end": state.end})
        for key in _in_order(state.entries):
            value = state.entries[key]
            _digest(digest, key, value)
            self._line([b64encode(key).decode(), b64encode(value).decode()])
            self._size += len(key) + len(value)
        self._line({"slice": state.number, "entries": len(state.entries), "sha256": digest.hexdigest()})
        self._all.update(digest.digest())
        self._slices += 1
        self._entries += len(state.entries)

    def finish(self) -> Summary:
        """Write the foot, and let the file have its name once it is stored."""
        found = Summary(self._slices, self._entries, self._size, self._all.hexdigest())
        self._line({"slices": found.slices, "entries": found.entries, "sha256": found.digest})
        self._file.close()
        with self._part.open("rb+") as stored:
            os.fsync(stored.fileno())
        self._part.replace(self._path)
        return found

    def give_up(self) -> None:
        """Leave nothing behind."""
        with suppress(OSError):
            self._file.close()
        self._part.unlink(missing_ok=True)

    def _line(self, what: object) -> bytes:
        line = json.dumps(what, separators=(",", ":")).encode() + b"\n"
        self._file.write(line)
        return line


def _in_order(entries: Mapping[bytes, bytes]) -> list[bytes]:
    """Sorted, so that equal states make equal files; the progress last, as a commit has it."""
    return sorted(entries, key=lambda key: (key == PROGRESS, key))


def _digest(digest: Any, key: bytes, value: bytes) -> None:
    digest.update(b"%d,%d;" % (len(key), len(value)))
    digest.update(key)
    digest.update(value)


class Export:
    """A file that has been checked from end to end; ConfigurationError says what is wrong with any other."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.head = self._head()
        try:
            self.summary = self._check()
        except (KeyError, TypeError, ValueError) as error:
            raise self._wrong(f"a line of it is not as it should be ({type(error).__name__}: {error})") from None

    def slices(self) -> Iterator[SliceState]:
        """Each slice, one at a time in memory, checked again while it is read."""
        for state, _ in self._states():
            yield state

    def _check(self) -> Summary:
        states = self._states()
        slices = entries = size = 0
        all_ = sha256(self._first_line)
        while True:
            try:
                state, digest = next(states)
            except StopIteration as end:
                foot = end.value
                break
            if state.number != slices or PROGRESS not in state.entries:
                raise self._wrong(f"its slice {state.number} is out of order, or has no progress")
            all_.update(digest)
            slices += 1
            entries += len(state.entries)
            size += sum(len(key) + len(value) for key, value in state.entries.items())
        found = Summary(slices, entries, size, all_.hexdigest())
        if foot != {"slices": slices, "entries": entries, "sha256": found.digest} or slices != self.head.partitions:
            raise self._wrong("its foot does not fit what it holds")
        return found

    def _lines(self) -> Iterator[bytes]:
        try:
            with _open(self._path, "rb", packed=self._path.suffix == ".gz") as file:
                yield from file
        except (OSError, EOFError) as error:  # gzip's own errors are OSErrors too
            raise self._wrong(f"it cannot be read: {error}") from None

    def _head(self) -> Head:
        self._first_line = next(self._lines(), b"")
        found = self._parsed(self._first_line)
        if not isinstance(found, dict) or found.pop("format", None) != FORMAT:
            raise self._wrong("it is no export of a state")
        if (version := found.pop("version", None)) != VERSION:
            raise self._wrong(f"it has version {version}; this release reads {VERSION}")
        try:
            return Head(**found)
        except TypeError:
            raise self._wrong("its head lacks something") from None

    def _states(self) -> Generator[tuple[SliceState, bytes], None, Any]:
        """Each slice with its digest; returns the foot."""
        lines = self._lines()
        next(lines)
        for line in lines:
            begun = self._parsed(line)
            if "slices" in begun:
                if next(lines, None) is not None:
                    raise self._wrong("something stands behind its foot")
                return begun
            yield self._slice(begun, lines)
        raise self._wrong("its end is missing")

    def _slice(self, begun: dict[str, Any], lines: Iterator[bytes]) -> tuple[SliceState, bytes]:
        entries: dict[bytes, bytes] = {}
        digest = sha256()
        for line in lines:
            found = self._parsed(line)
            if isinstance(found, dict):
                if found != {"slice": begun["slice"], "entries": len(entries), "sha256": digest.hexdigest()}:
                    raise self._wrong(f"slice {begun['slice']} is damaged")
                return SliceState(begun["slice"], entries, begun["end"]), digest.digest()
            key, value = (b64decode(part) for part in found)
            _digest(digest, key, value)
            entries[key] = value
        raise self._wrong("its end is missing")

    def _parsed(self, line: bytes) -> Any:
        try:
            return json.loads(line)
        except ValueError:
            raise self._wrong(f"a line of it is damaged: {line[:60]!r}") from None

    def _wrong(self, why: str) -> ConfigurationError:
        return ConfigurationError([f"{self._path} cannot be imported: {why}"])


def _open(path: Path, mode: str, *, packed: bool) -> Any:
    return gzip.open(path, mode, compresslevel=3) if packed else path.open(mode)
