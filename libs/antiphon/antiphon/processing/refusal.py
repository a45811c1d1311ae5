"""What a slice's state must not be for a worker to serve it: gone, shorter than its group says, or closed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from antiphon.broker import Partition
from antiphon.processing.state import CLOSED, PROGRESS, read_progress

_WAY_OUT = (
    "Bring it back with `antiphon state import {service} --from FILE`, or give up what it held with "
    "`antiphon state reset {service}`"
)


class Found(NamedTuple):
    """A slice's partition of the state, and what its group has committed of the command topic (None: nothing)."""

    state: Partition
    group: str
    commands: str
    committed: int | None


def refusal(found: Found, entries: Mapping[bytes, bytes]) -> str | None:
    """Why nobody may serve this slice, and what to do; None if all is well.

    State and offset are written by the same transactions, so a group that is ahead of the state, or has an offset where
    there is no state, shows that some of the state was lost. What was done since then would be done again in silence.
    """
    closed, progress = entries.get(CLOSED), entries.get(PROGRESS)
    slice_ = f"slice {found.state.number} of {found.state.topic}"
    if closed is not None:
        return f"{slice_} is closed: {closed.decode(errors='replace')}"
    way_out = _WAY_OUT.format(service=_service(found))
    if progress is None:
        if entries:
            return f"{slice_} has {len(entries)} entries and no progress, so its end is missing. {way_out}"
        if found.committed is not None:
            return (
                f"{slice_} is empty, but its group {found.group} stands at offset {found.committed} of "
                f"{found.commands}: the state topic was lost or emptied. {way_out}"
            )
        return None
    sources, _ = read_progress(progress)
    known = sources[found.commands].contiguous if found.commands in sources else None
    if known is not None and found.committed is not None and known < found.committed:
        return (
            f"{slice_} ends where offset {known} of {found.commands} was reached, but its group {found.group} stands "
            f"at {found.committed}: the newest part of the state was lost. Go on with what is left, and handle again "
            f"what was settled since, with `antiphon state accept {_service(found)}`. {way_out}"
        )
    return None


def _service(found: Found) -> str:
    return found.state.topic.rpartition(".")[2]
