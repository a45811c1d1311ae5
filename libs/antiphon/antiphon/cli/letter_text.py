"""One dead letter as text for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

ROW = 32  # bytes of a line in hexadecimal
MOST = 64 * ROW  # bytes that are shown of a content that nobody can read


def told(letter: Mapping[str, Any]) -> str:
    """Everything that is known of it, one thing a line."""
    lines = [*_head(letter), *_error(letter["error"]), *_headers(letter), *_content(letter)]
    return "\n".join(map(plain, lines))


def plain(text: str) -> str:
    """Without what a terminal would obey: whoever sent the record may have written it."""
    return "".join(each if each.isprintable() or each in "\t\n" else "\ufffd" for each in text)


def _head(letter: Mapping[str, Any]) -> Iterator[str]:
    yield f"dead letter  {letter['letter_id']}  {letter['state']}"
    yield f"message      {letter['message_id']}  {letter['message_type'] or '(no type)'}"
    yield f"service      {letter['service']}, handler {letter['handler'] or '(none was reached)'}"
    yield f"record       {letter['topic']}[{letter['partition']}]@{letter['offset']}, key {_shown(letter['key'])}"
    yield f"given up     {letter['given_up_at']} after {letter['attempts']} attempts, received {letter['received_at']}"
    yield f"redriven     {letter['generation']} times before"


def _error(error: Mapping[str, Any]) -> Iterator[str]:
    again = "may help" if error["retryable"] else "does not help"
    yield f"error        {error['code']}: {error['error_class']}: {error['message']} (trying again {again})"
    for cause in error["causes"]:
        yield f"  caused by  {cause['error_class']}: {cause['message']}"


def _headers(letter: Mapping[str, Any]) -> Iterator[str]:
    yield "headers"
    for header in letter["headers"]:
        yield f"  {header['name']}: {_shown(header)}"


def _content(letter: Mapping[str, Any]) -> Iterator[str]:
    if letter["payload"] is not None:
        yield "payload"
        yield json.dumps(letter["payload"], indent=2, ensure_ascii=False)
        return
    value = letter["value"]
    yield f"payload cannot be read: {letter['unreadable']}" if letter["unreadable"] else "payload"
    if value is None:
        yield "  (none)"
    elif value["text"] is not None:
        yield value["text"]
    else:
        yield from _dump(bytes.fromhex(value["hex"]))


def _dump(raw: bytes) -> Iterator[str]:
    for at in range(0, min(len(raw), MOST), ROW):
        yield f"  {at:08x}  {raw[at : at + ROW].hex(' ', 4)}"
    if len(raw) > MOST:
        yield f"  … {len(raw):,} bytes in all; --json has them"


def _shown(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "(none)"
    return str(found["text"]) if found["text"] is not None else f"0x{found['hex']}"
