"""What a run keeps of the record that began it: everything but its value, in the `about` of its start.

Format 1, little-endian: a frame (below), the lengths of what follows (u32 each; of the key its length and one, of none
0), then topic, key, the headers' names with a line's end between them, and each header's value.
"""

from __future__ import annotations

from struct import Struct, pack, unpack_from

from antiphon.broker import Record

_FORMAT = 1
_FRAME = Struct("<BIqqI")  # format, partition, offset, timestamp, how many headers
_FIXED = 3  # lengths before those of the headers' values


def about_of(record: Record) -> bytes:
    """The record without its value."""
    topic, partition, offset, key, _, headers, timestamp = record
    parts = [topic.encode(), b"" if key is None else key, "\n".join([name for name, _ in headers]).encode()]
    parts += [value for _, value in headers]
    lengths = [len(part) for part in parts]
    lengths[1] = 0 if key is None else lengths[1] + 1
    frame = _FRAME.pack(_FORMAT, partition, offset, timestamp, len(headers))
    return b"".join([frame, pack(f"<{len(lengths)}I", *lengths), *parts])


def read_about(about: bytes) -> Record:
    """The record that `about_of` was given, without a value (ValueError for another format)."""
    if about[:1] != b"\x01":
        raise ValueError(f"what began a run has format {about[:1]!r}; this release reads {_FORMAT}")
    _, partition, offset, timestamp, count = _FRAME.unpack_from(about)
    lengths = list(unpack_from(f"<{_FIXED + count}I", about, _FRAME.size))
    has_key = lengths[1] > 0
    lengths[1] -= has_key
    parts, at = [], _FRAME.size + 4 * len(lengths)
    for length in lengths:
        parts.append(about[at : at + length])
        at += length
    topic, key, names, *values = parts
    headers = list(zip(names.decode().split("\n"), values, strict=True)) if count else []
    return Record(topic.decode(), partition, offset, key if has_key else None, None, headers, timestamp)
