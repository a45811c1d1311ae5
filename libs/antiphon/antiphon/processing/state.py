"""The state of a slice: what lies under which key of its partition of the state topic."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pydantic_core import to_json

from antiphon.broker import Headers, Outgoing
from antiphon.context import State
from antiphon.processing.offsets import SourceOffsets

PROGRESS = b"progress"
OUTCOME = b"outcome/"
KEPT = b"kept/"
CLOSED = b"closed"  # nobody may serve the slice; the value says why, in words
IMPORTED = b"imported"  # which export this state was imported from
_UNTIL = b"until="  # before an entry with a time to live; one without begins with the brace of its JSON
_VERSION = 1


def write_progress(sources: Mapping[str, SourceOffsets], partitions: int) -> bytes:
    """Per source topic the contiguous offset and the ranges finished beyond it; and the N they hold for."""
    listed = {topic: [offsets.contiguous, offsets.ranges()] for topic, offsets in sources.items()}
    return json.dumps({"v": _VERSION, "n": partitions, "sources": listed}, separators=(",", ":")).encode()


def read_progress(value: bytes) -> tuple[dict[str, SourceOffsets], int]:
    """What `write_progress` wrote: the sources and N. Raises ValueError for another format."""
    found = json.loads(value)
    if found.get("v") != _VERSION:
        raise ValueError(f"progress has format {found.get('v')}; this version reads {_VERSION}")
    sources = {
        topic: SourceOffsets(contiguous, [(first, last) for first, last in ranges])
        for topic, (contiguous, ranges) in found["sources"].items()
    }
    return sources, int(found["n"])


def write_outcome(answer: Outgoing, now: float) -> bytes:
    """An answer as it was given, without the token it was given for: a line of JSON, then its value as it is."""
    headers = [(name, value.decode(errors="replace")) for name, value in answer.headers if name != "ce_replytoken"]
    return to_json({"v": _VERSION, "at": now, "headers": headers}) + b"\n" + (answer.value or b"")


def read_outcome(entry: bytes) -> tuple[Headers, bytes]:
    """The headers and the value of a kept answer."""
    head, _, value = entry.partition(b"\n")
    return [(name, text.encode()) for name, text in json.loads(head)["headers"]], value


def outcome_time(entry: bytes) -> float:
    """When it was kept, in seconds since 1970."""
    return float(json.loads(entry.partition(b"\n")[0])["at"])


def write_kept(value: bytes, until: float | None) -> bytes:
    """An author's entry: its JSON, after a line that says when it expires (seconds since 1970) if it ever does."""
    return value if until is None else b"%b%d\n%b" % (_UNTIL, int(until * 1000), value)


def read_kept(entry: bytes) -> bytes:
    """The JSON of an author's entry."""
    return entry.partition(b"\n")[2] if entry.startswith(_UNTIL) else entry


def kept_until(entry: bytes) -> float | None:
    """When an author's entry expires, in seconds since 1970; None if never."""
    if not entry.startswith(_UNTIL):
        return None
    return int(entry[len(_UNTIL) : entry.index(b"\n")]) / 1000


def kept_key(kind: type[State], key: bytes) -> bytes:
    """Where an author's entry of this class lies for a message key."""
    return KEPT + kind.__name__.encode() + b"/" + key
