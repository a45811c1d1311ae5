"""Charts as inline SVG: bars or lines of a few series over the rows of a table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 720.0, 360.0  # SVG units
LEFT, RIGHT, TOP, BOTTOM = 70.0, 20.0, 50.0, 60.0  # the margins around the plot
TICKS = 5
SMALLEST = 1e-300  # distance of two ticks
LABELS = 12  # the most that fit below the plot
LABEL = 14  # characters of one
COLOURS = ("#3465a4", "#f57900", "#4e9a06", "#a40000")


@dataclass(frozen=True, slots=True)
class Series:
    """Numbers under one name, one per label; None where there is none."""

    name: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class _Scale:
    """From numbers to heights: `low` and `high` are the ends of the axis, `step` lies between two ticks."""

    low: float
    high: float
    step: float

    def y(self, value: float) -> float:
        low, high = self.low / self.step, self.high / self.step  # in steps no difference becomes infinite
        share = (value / self.step - low) / (high - low)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 2)

    def ticks(self) -> list[float]:
        first, last = round(self.low / self.step), round(self.high / self.step)
        return [number * self.step for number in range(first, last + 1)]


def bars(title: str, labels: Sequence[str], series: Sequence[Series]) -> str:
    """A group of bars per label, from zero; without a line break, so that it can stand in Markdown."""
    scale = _scale(series, with_zero=True)
    slot = (WIDTH - LEFT - RIGHT) / len(labels)
    width = slot * 0.8 / len(series)
    return _svg(title, labels, series, scale, "".join(_bars(series, scale, slot, width)))


def lines(title: str, labels: Sequence[str], series: Sequence[Series]) -> str:
    """A line per series, broken where values are missing; a point by itself is a dot."""
    scale = _scale(series, with_zero=False)
    slot = (WIDTH - LEFT - RIGHT) / len(labels)
    return _svg(title, labels, series, scale, "".join(_lines(series, scale, slot)))


def _bars(series: Sequence[Series], scale: _Scale, slot: float, width: float) -> Iterator[str]:
    for number, one in enumerate(series):
        for at, value in enumerate(one.values):
            if value is None:
                continue
            top, bottom = sorted((scale.y(value), scale.y(0)))
            x = LEFT + at * slot + slot * 0.1 + number * width
            yield (
                f'<rect x="{x:.2f}" y="{top:.2f}" width="{width:.2f}" height="{bottom - top:.2f}" '
                f'fill="{COLOURS[number]}"><title>{escape(one.name)}: {value:g}</title></rect>'
            )


def _lines(series: Sequence[Series], scale: _Scale, slot: float) -> Iterator[str]:
    for number, one in enumerate(series):
        for run in _runs(one.values):
            points = [(LEFT + (at + 0.5) * slot, scale.y(value)) for at, value in run]
            if len(points) == 1:
                yield f'<circle cx="{points[0][0]:.2f}" cy="{points[0][1]:.2f}" r="2.5" fill="{COLOURS[number]}"/>'
            else:
                path = " ".join(f"{x:.2f},{y:.2f}" for x, y in points)
                yield f'<polyline points="{path}" fill="none" stroke="{COLOURS[number]}" stroke-width="2"/>'


def _runs(values: Sequence[float | None]) -> Iterator[list[tuple[int, float]]]:
    """Stretches without a missing value, each value with its place."""
    run: list[tuple[int, float]] = []
    for at, value in enumerate(values):
        if value is not None:
            run.append((at, value))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _scale(series: Sequence[Series], *, with_zero: bool) -> _Scale:
    """An axis that ends at ticks, which are 1, 2 or 5 times a power of ten apart."""
    values = [value for one in series for value in one.values if value is not None]
    low, high = min(values), max(values)
    if with_zero or low == high:
        low, high = min(low, 0.0), max(high, 0.0)
    rough = high / TICKS - low / TICKS  # each part is finite, even where the difference of the ends is not
    if rough < SMALLEST:
        low, high, rough = min(low, 0.0), max(high, 1.0), 1 / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    return _Scale(math.floor(low / step) * step, math.ceil(high / step) * step, step)


def _svg(title: str, labels: Sequence[str], series: Sequence[Series], scale: _Scale, plot: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" '
        f'font-family="sans-serif" font-size="11"><title>{escape(title)}</title>'
        f'<text x="{LEFT:g}" y="18" font-size="14">{escape(title)}</text>'
        f"{_legend(series)}{_axis(scale)}{plot}{_labels(labels)}</svg>"
    )


def _legend(series: Sequence[Series]) -> str:
    places = [LEFT + number * (WIDTH - LEFT - RIGHT) / len(COLOURS) for number in range(len(series))]
    return "".join(
        f'<rect x="{x:g}" y="28" width="10" height="10" fill="{colour}"/>'
        f'<text x="{x + 14:g}" y="37">{escape(_short(one.name, 22))}</text>'
        for x, one, colour in zip(places, series, COLOURS, strict=False)
    )


def _axis(scale: _Scale) -> str:
    return "".join(
        f'<line x1="{LEFT:g}" x2="{WIDTH - RIGHT:g}" y1="{scale.y(tick):g}" y2="{scale.y(tick):g}" stroke="#ccc"/>'
        f'<text x="{LEFT - 6:g}" y="{scale.y(tick) + 4:g}" text-anchor="end">{tick:g}</text>'
        for tick in scale.ticks()
    )


def _labels(labels: Sequence[str]) -> str:
    slot, every = (WIDTH - LEFT - RIGHT) / len(labels), math.ceil(len(labels) / LABELS)
    y = HEIGHT - BOTTOM + 14
    return "".join(
        f'<text x="{x:.1f}" y="{y:g}" text-anchor="end" transform="rotate(-30 {x:.1f} {y:g})">'
        f"{escape(_short(label, LABEL))}</text>"
        for at, label in enumerate(labels)
        if at % every == 0
        for x in [LEFT + (at + 0.5) * slot]
    )


def _short(text: str, most: int) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"
