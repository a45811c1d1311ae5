"""Commands of the processors service and what comes of them."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from antiphon import Command, Event

Cell = float | str | None


class Operation(StrEnum):
    """What can be done with data; both names mean the same."""

    CALCULATE_STATISTICS = "calculate_statistics"
    STATISTICS = "statistics"


class ColumnStatistics(BaseModel):
    """One column of numbers; what needs at least two of them is absent for one.

    `stdev` and `variance` are those of a sample; `quartiles` are three, the middle one the median.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: int
    missing: int
    mean: float
    median: float
    minimum: float
    maximum: float
    stdev: float | None = None
    variance: float | None = None
    quartiles: list[float] = Field(default=[])


class DataProcessed(Event, family="processors"):
    """The statistics of every column that was asked for."""

    operation: Operation
    rows: int
    columns: dict[str, ColumnStatistics]
    left_out: list[str] = Field(default=[], description="columns that nobody named and that hold text, or nothing")


class ProcessData(Command[DataProcessed], service="processors"):
    """Work on numbers: a plain list (`data`), rows by column name, or a CSV file below the folder of the service.

    An empty value, null or NaN is a missing one.
    """

    operation: Operation = Operation.CALCULATE_STATISTICS
    data: list[float | None] = Field(default=[], description="numbers; their column is called `data`")
    rows: list[dict[str, Cell]] = Field(default=[], description="one map of column to value per row")
    source: str | None = Field(default=None, description="a CSV file with a header line, as file:readings.csv")
    columns: list[str] = Field(default=[], description="the columns that count; all numeric ones if none is named")

    @model_validator(mode="after")
    def _one_source(self) -> ProcessData:
        given = [name for name in ("data", "rows", "source") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(f"give exactly one of data, rows and source; {', '.join(given) or 'none'} is given")
        return self


class Violation(BaseModel):
    """One way in which the input breaks its schema; `path` is a JSON Pointer (RFC 6901), empty for the whole."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    message: str


class InputValidated(Event, family="processors"):
    """Whether the input fits, and its violations (the first hundred) if it does not."""

    valid: bool
    violations: list[Violation] = Field(default=[])


class ValidateInput(Command[InputValidated], service="processors"):
    """Check any JSON value against a JSON Schema (draft 2020-12, unless `$schema` says otherwise)."""

    data: JsonValue
    rules: dict[str, JsonValue] = Field(description="the JSON Schema; it may refer to its own parts only")
