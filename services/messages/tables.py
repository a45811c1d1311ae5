"""What commands say about tables: their cells, and the steps by which one becomes another."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Value = bool | int | float | str | None
Row = dict[str, Value]
Name = Annotated[str, Field(min_length=1, max_length=200)]


class CellType(StrEnum):
    """What a cell can be made."""

    INTEGER = "integer"
    NUMBER = "number"
    TEXT = "text"
    BOOLEAN = "boolean"


class Function(StrEnum):
    """From the values of a group to one; missing values do not count."""

    COUNT = "count"
    SUM = "sum"
    MEAN = "mean"
    MIN = "min"
    MAX = "max"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Summary(_Part):
    """One number per group; its column is called `name`, or else as in mean_rpm and count."""

    function: Function
    column: Name | None = Field(default=None, description="only `count` needs none: then it counts rows")
    name: Name | None = None

    @model_validator(mode="after")
    def _of_something(self) -> Summary:
        if self.column is None and self.function is not Function.COUNT:
            raise ValueError(f"{self.function} needs a column")
        return self

    @property
    def title(self) -> str:
        """What the summary's column is called."""
        return self.name or (self.function.value if self.column is None else f"{self.function}_{self.column}")


class Select(_Part):
    """Keep these columns, in this order."""

    step: Literal["select"]
    columns: list[Name] = Field(min_length=1)


class Rename(_Part):
    """Give columns other names: old to new."""

    step: Literal["rename"]
    columns: dict[Name, Name] = Field(min_length=1)


class Filter(_Part):
    """Keep the rows of which this is true, as in `rpm > 900 and engine == 'unit-7'`."""

    step: Literal["filter"]
    where: str


class Cast(_Part):
    """Make every value of a column an integer, a number, text or a boolean."""

    step: Literal["cast"]
    column: Name
    to: CellType
    otherwise: Literal["error", "missing"] = Field(default="error", description="what comes of a value that is none")


class Compute(_Part):
    """Give every row a column with the value of an expression, as in `round(rpm / 60, 1)`."""

    step: Literal["compute"]
    column: Name
    expression: str


class Sort(_Part):
    """Order rows by these columns; rows without a value come last, equal rows stay in their order."""

    step: Literal["sort"]
    columns: list[Name] = Field(min_length=1)
    descending: bool = False


class Limit(_Part):
    """Keep so many rows, from the first or after an offset."""

    step: Literal["limit"]
    rows: int = Field(ge=0)
    offset: int = Field(default=0, ge=0)


class Group(_Part):
    """One row per combination of values of the `by` columns (all rows are one group without any)."""

    step: Literal["group"]
    by: list[Name] = Field(default=[])
    summaries: list[Summary] = Field(min_length=1)


class Fill(_Part):
    """Put a value where one is missing."""

    step: Literal["fill"]
    columns: list[Name] = Field(min_length=1)
    value: bool | int | float | str


Step = Annotated[Select | Rename | Filter | Cast | Compute | Sort | Limit | Group | Fill, Field(discriminator="step")]
