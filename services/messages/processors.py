"""Commands of the processors service and what comes of them."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from antiphon import Command, Event
from antiphon.control import PROCESSORS
from services.messages.tables import Name, Row, Step, Summary

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
    processor: str | None = Field(default=None, description="the declared processor that did it, if one is declared")


class ProcessData(Command[DataProcessed], service=PROCESSORS):
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
    processor: str | None = Field(default=None, description="the declared processor that did it, if one is declared")


class ValidateInput(Command[InputValidated], service=PROCESSORS):
    """Check any JSON value against a JSON Schema (draft 2020-12, unless `$schema` says otherwise)."""

    data: JsonValue
    rules: dict[str, JsonValue] = Field(description="the JSON Schema; it may refer to its own parts only")


class Analysis(StrEnum):
    """What can be found in a text."""

    SENTIMENT = "sentiment"
    TOPICS = "topics"
    ENTITIES = "entities"


class Mood(StrEnum):
    """Which way a text leans."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    NEUTRAL = "neutral"


class WeightedWord(BaseModel):
    """A word as it stands in the text, and what it added to the sum, with the "not" or "very" before it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    word: str
    weight: float
    count: int


class Sentiment(BaseModel):
    """From -1 to 1; `words` decided it, the weightiest first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mood: Mood
    score: float
    words: list[WeightedWord] = Field(default=[])


class Topic(BaseModel):
    """A word or phrase that the text keeps coming back to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    phrase: str
    count: int


class EntityKind(StrEnum):
    """What an entity is."""

    EMAIL = "email"
    URL = "url"
    MONEY = "money"
    DATE = "date"
    NAME = "name"


class Entity(BaseModel):
    """Somebody or something that the text names, and how often."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: EntityKind
    text: str
    count: int


class ContentAnalyzed(Event, family="processors"):
    """What was found in a text; an analysis that nobody asked for is absent."""

    words: int
    sentiment: Sentiment | None = None
    topics: list[Topic] | None = None
    entities: list[Entity] | None = None
    processor: str = Field(description="what has done the analysis")
    simulated: bool = Field(description="whether word lists and patterns have stood in for a model")


class AnalyzeContent(Command[ContentAnalyzed], service=PROCESSORS):
    """Sentiment, topics and entities of an English text."""

    text: str = Field(min_length=1, max_length=200_000)
    analyses: list[Analysis] = Field(
        default=[Analysis.SENTIMENT, Analysis.TOPICS, Analysis.ENTITIES], min_length=1, description="which of them"
    )
    most: int = Field(default=10, ge=1, le=100, description="the most topics, and the most entities, that are told")


class DataTransformed(Event, family="processors"):
    """The table that the steps have led to."""

    rows_in: int
    rows_out: int
    columns: list[str]
    rows: list[Row]
    processor: str | None = Field(default=None, description="the declared processor that did it, if one is declared")


class TransformData(Command[DataTransformed], service=PROCESSORS):
    """Take a table through steps, one after another: rows, or a CSV file below the folder of the service.

    A column of a file whose every value is a number holds numbers, any other one text; an empty value is a missing one.
    """

    rows: list[Row] = Field(default=[], description="one map of column to value per row")
    source: str | None = Field(default=None, description="a CSV file with a header line, as file:readings.csv")
    steps: list[Step] = Field(min_length=1, max_length=100)

    @model_validator(mode="after")
    def _one_source(self) -> TransformData:
        if bool(self.rows) == (self.source is not None):
            raise ValueError(f"give exactly one of rows and source; {'both are' if self.rows else 'none is'} given")
        return self


class ReportFormat(StrEnum):
    """How a report is written."""

    MARKDOWN = "markdown"
    HTML = "html"
    CSV = "csv"
    JSON = "json"


class DataSource(BaseModel):
    """Where the rows of a report come from: exactly one of these."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: list[Row] = Field(default=[], description="one map of column to value per row")
    file: str | None = Field(default=None, description="a CSV file with a header line, as readings.csv")
    url: str | None = Field(default=None, description="CSV or JSON at an address that the service may read")
    result: JsonValue = Field(default=None, description="the `response` of an earlier command")

    @model_validator(mode="after")
    def _one(self) -> DataSource:
        found = {"rows": self.rows or None, "file": self.file, "url": self.url, "result": self.result}
        given = [name for name, value in found.items() if value is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of rows, file, url and result; {', '.join(given) or 'none'} is given")
        return self


class ChartKind(StrEnum):
    """How numbers are drawn."""

    BAR = "bar"
    LINE = "line"


class Chart(BaseModel):
    """A drawing of columns of numbers: of those named in `values`, or else the first four that there are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ChartKind = ChartKind.BAR
    label: Name | None = Field(default=None, description="the column that names the rows; else they are counted")
    values: list[Name] = Field(default=[], max_length=4)


class ReportGenerated(Event, family="processors"):
    """A report, whole."""

    format: ReportFormat
    media_type: str
    content: str
    rows: int
    processor: str


class GenerateReport(Command[ReportGenerated], service=PROCESSORS):
    """Write the rows of a source as Markdown, HTML, CSV or JSON, grouped and drawn if that is asked for."""

    data_source: DataSource
    format: ReportFormat = ReportFormat.MARKDOWN
    title: str = Field(default="Report", min_length=1, max_length=200)
    columns: list[Name] = Field(default=[], description="the columns that are shown; all if none is named")
    group_by: list[Name] = Field(default=[], description="one row per combination of their values")
    summaries: list[Summary] = Field(default=[], description="the numbers of each group, or of all rows")
    chart: Chart | None = Field(default=None, description="drawn in Markdown and HTML")

    @model_validator(mode="after")
    def _fits_together(self) -> GenerateReport:
        if self.chart is not None and self.format in (ReportFormat.CSV, ReportFormat.JSON):
            raise ValueError(f"{self.format} has no place for a chart: choose markdown or html, or leave it out")
        if self.group_by and not self.summaries:
            raise ValueError("group_by needs summaries, such as [{'function': 'count'}]")
        return self
