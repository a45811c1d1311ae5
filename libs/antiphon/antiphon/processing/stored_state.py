"""State of authors as it is stored: what another release has written into it stays, unknown as it may be here."""

from __future__ import annotations

import json
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from antiphon.context import State

StateT = TypeVar("StateT", bound=State)


class StoredState(Generic[StateT]):
    """One entry in the hands of an attempt; `entry` is what the author changes.

    A replica of an older release, or one that was rolled back to, keeps the fields that a newer one has added.
    """

    __slots__ = ("_before", "_foreign", "entry")

    def __init__(self, kind: type[StateT], stored: bytes) -> None:
        """`stored` is empty where there is none. Raises ValidationError for what this class cannot hold."""
        self._foreign: dict[str, Any] = {}
        try:
            self.entry = kind.model_validate_json(stored) if stored else kind()
        except ValidationError as error:
            self._foreign, own = _divided(stored, error)
            self.entry = kind.model_validate_json(json.dumps(own))
        self._before = self.written() if self._foreign else stored

    def written(self) -> bytes:
        """As it is to be stored."""
        text = self.entry.model_dump_json()
        return json.dumps(json.loads(text) | self._foreign).encode() if self._foreign else text.encode()

    def changed(self) -> bytes | None:
        """The same, if it differs from what is stored."""
        value = self.written()
        return None if value == self._before else value


def _divided(stored: bytes, error: ValidationError) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields that the class does not have, and the others; the error itself if it tells of anything else."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    if any(each["type"] != "extra_forbidden" or len(each["loc"]) != 1 for each in found):
        raise error
    foreign = {str(each["loc"][0]) for each in found}
    fields: dict[str, Any] = json.loads(stored)
    return (
        {name: value for name, value in fields.items() if name in foreign},
        {name: value for name, value in fields.items() if name not in foreign},
    )
