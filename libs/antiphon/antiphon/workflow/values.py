"""Values that are kept in a history: JSON, or what a stated type makes of it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from antiphon.errors import HistoryUnreadable

_PLAIN = (str, int, float, bool, type(None))


class Form(NamedTuple):
    """How a value is kept; `returns` is the type that it has, None for plain JSON."""

    name: str
    returns: Any = None

    def written(self, value: Any) -> bytes:
        """As it is kept; TypeError if it would not come back as it was."""
        if self.returns is not None:
            return self._written_as(value)
        if not _plain(value):
            raise TypeError(
                f"{self.name} returned {value!r:.80}, which is no plain JSON: say `returns={type(value).__name__}`"
            )
        return to_json(value, inf_nan_mode="constants")

    def _written_as(self, value: Any) -> bytes:
        try:
            return _adapter(self.returns).dump_json(value, warnings="error")
        except PydanticSerializationError as error:
            raise TypeError(f"{self.name} returned {value!r:.80}, which is no {self.returns}: {error}") from error

    def read(self, kept: bytes) -> Any:
        """The value (HistoryUnreadable if these bytes hold no such value)."""
        try:
            return from_json(kept) if self.returns is None else _adapter(self.returns).validate_json(kept)
        except (ValueError, ValidationError) as error:
            raise HistoryUnreadable(f"what {self.name} returned cannot be read: {error}") from error

    def reread(self, value: Any) -> Any:
        """The value, from JSON that was parsed already."""
        return value if self.returns is None else self.read(to_json(value, inf_nan_mode="constants"))


@lru_cache(maxsize=1024)
def _adapter(returns: Any) -> TypeAdapter[Any]:
    return TypeAdapter(returns)


def _plain(value: Any) -> bool:
    if type(value) is list:
        return all(map(_plain, value))
    if type(value) is dict:
        return all(type(key) is str for key in value) and all(map(_plain, value.values()))
    return type(value) in _PLAIN
