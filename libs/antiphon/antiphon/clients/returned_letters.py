"""From a dead letter to the record that brings it back to its owner, and from a wish to cancel to its record."""

from __future__ import annotations

from collections.abc import Iterator

from antiphon.broker import Headers, Outgoing
from antiphon.catalogue import Installation
from antiphon.client import ReturnedLetter
from antiphon.envelope import JSON
from antiphon.errors import InvalidMessage
from antiphon.lifecycle import CancelRequested
from antiphon.processing.cancels import cancel_record
from antiphon.topics import partition_of

# times of the first sending, and what an earlier redrive has said
_DROPPED = {"ce_deadline", "ce_notbefore", "ce_handler", "ce_generation", "ce_discard"}


def returned(back: ReturnedLetter, installation: Installation) -> Outgoing:
    """The record that does it, in the slice where the dead letter's record lay.

    InvalidMessage for a redrive whose content is not in the dead letter.
    """
    letter = back.letter
    if letter.record_value is None and back.edited is None and not back.discard:
        name = letter.message_type or "the message"
        raise InvalidMessage(name, {"(all)": "the dead letter holds no content: state it anew, or discard the letter"})
    headers = _headers(back)
    value = letter.record_value
    if back.discard:
        headers.append(("ce_discard", b"1"))
        value = None
    elif back.edited is not None:
        value = back.edited.model_dump_json().encode()
        headers = [*(header for header in headers if header[0] != JSON[0]), JSON]
    topic = installation.names.commands(letter.service)
    return Outgoing(topic, letter.partition, letter.record_key, value, headers)


def _headers(back: ReturnedLetter) -> Headers:
    letter = back.letter
    # what was forwarded once to a wrong place must be free to go to the right one
    dropped = _DROPPED | ({"ce_forwarded"} if letter.failure.code == "misplaced" else set())
    found = [(header.name, header.value) for header in letter.record_headers if header.name not in dropped]
    if not any(name == "ce_id" and value for name, value in found):
        found = [*(header for header in found if header[0] != "ce_id"), ("ce_id", letter.message_id.encode())]
    if letter.handler is not None:
        found.append(("ce_handler", letter.handler.encode()))
    return [*found, ("ce_generation", str(letter.generation + 1).encode())]


def cancels(wanted: CancelRequested, key: bytes | None, installation: Installation) -> Iterator[Outgoing]:
    """The record for the command's slice, or one for each where nobody knows which that is."""
    count, topic = installation.partitions, installation.names.cancels
    for partition in range(count) if key is None else [partition_of(key, count)]:
        yield cancel_record(wanted, topic, partition, key)
