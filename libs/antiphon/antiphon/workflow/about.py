"""What a run keeps of the record that began it: everything but its value, in the `about` of its start."""

from __future__ import annotations

from antiphon.broker import Headers, Record
from antiphon.processing.agenda import Waiting, read_waiting, write_waiting


def about_of(record: Record, joined: tuple[Headers, ...] = ()) -> bytes:
    """The record without its value, and where its duplicates wait for the same answer."""
    return write_waiting(Waiting(record._replace(value=None), joined=joined))


def read_about(about: bytes) -> Record:
    """The record that `about_of` was given, without a value (ValueError for another format)."""
    return read_waiting(about).record


def joined_of(about: bytes) -> tuple[Headers, ...]:
    """The reply headers of duplicates that came before the run began."""
    return read_waiting(about).joined
