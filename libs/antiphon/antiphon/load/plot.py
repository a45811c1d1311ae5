"""A report as a picture: latency by percentile, and throughput over time, as SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from antiphon.load.recording import Bin
from antiphon.load.report import Measured, Report

WIDTH, HEIGHT = 860, 640
COLOURS = {"accepted": "#1f77b4", "completed": "#2ca02c", "not served": "#d62728"}
NINES = ((0.0, "0"), (1.0, "90"), (2.0, "99"), (3.0, "99.9"), (4.0, "99.99"), (5.0, "99.999"))
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Panel:
    """A rectangle of the picture with its two scales; `ticks` are places on the x axis with what they are called."""

    top: float
    height: float
    largest: Point
    title: str
    ticks: Sequence[tuple[float, str]]
    unit: str
    left: float = 80
    width: float = WIDTH - 200

    def at(self, point: Point) -> Point:
        """Where a point lies in the picture."""
        x, y = point
        return (
            self.left + self.width * min(x / self.largest[0], 1),
            self.top + self.height * (1 - min(y / self.largest[1], 1)),
        )


def svg(report: Report) -> str:
    """The picture, whole."""
    ends = {"accepted": report.accepted} | ({"completed": report.completed} if report.title.outcomes else {})
    parts = [*_percentiles(ends), *_course(report)]
    title = f"{report.title.command_type} through {report.title.where}: {report.sent:,} sent in {report.seconds:.1f} s"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
            ' font-family="sans-serif" font-size="12">',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
            _text(80, 24, title, size=15),
            *parts,
            "</svg>",
            "",
        ]
    )


def _percentiles(ends: dict[str, Measured]) -> list[str]:
    curves = {name: [(-math.log10(1 - share), ms) for share, ms in end.curve] for name, end in ends.items()}
    right = max((x for curve in curves.values() for x, _ in curve), default=1.0)
    top = _round_up(max((end.latency_ms["max"] for end in ends.values()), default=1.0))
    ticks = [(at, name) for at, name in NINES if at <= max(right, 1.0)]
    panel = Panel(60, 220, (max(right, 1.0), top), "latency by percentile", ticks, "ms")
    return [*_frame(panel), *_lines(panel, curves)]


def _course(report: Report) -> list[str]:
    marks: dict[str, Callable[[Bin], int]] = {"accepted": lambda each: each.accepted}
    if report.title.outcomes:
        marks["completed"] = lambda each: each.completed
    if report.failed:
        marks["not served"] = lambda each: each.errors
    curves = {
        name: [(each.at + each.width / 2, count(each) / each.width) for each in report.course]
        for name, count in marks.items()
    }
    end = max((each.at + each.width for each in report.course), default=1.0)
    top = _round_up(max((y for curve in curves.values() for _, y in curve), default=1.0))
    ticks = [(end * part / 5, f"{end * part / 5:g} s") for part in range(6)]
    panel = Panel(370, 220, (end, top), "per second, over time", ticks, "/s")
    return [*_frame(panel), *_lines(panel, curves)]


def _round_up(value: float) -> float:
    """The next number that is easy to divide by five."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(each * power for each in (1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10) if value <= each * power)


def _frame(panel: Panel) -> list[str]:
    left, bottom = panel.at((0, 0))
    found = [_text(panel.left, panel.top - 10, panel.title, size=13)]
    for part in range(6):
        value = panel.largest[1] * part / 5
        _, y = panel.at((0, value))
        found.append(f'<path d="M{left:.1f} {y:.1f}h{panel.width:.1f}" stroke="#ddd"/>')
        found.append(_text(left - 8, y + 4, f"{value:g} {panel.unit}", anchor="end"))
    for place, name in panel.ticks:
        x, _ = panel.at((place, 0))
        found.append(f'<path d="M{x:.1f} {panel.top:.1f}v{panel.height:.1f}" stroke="#eee"/>')
        found.append(_text(x, bottom + 18, name, anchor="middle"))
    return found


def _lines(panel: Panel, curves: dict[str, list[Point]]) -> list[str]:
    found = []
    for number, (name, curve) in enumerate(curves.items()):
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(panel.at, curve))
        found.append(f'<polyline points="{points}" fill="none" stroke="{COLOURS[name]}" stroke-width="1.8"/>')
        found.append(_text(panel.left + panel.width + 12, panel.top + 16 + 18 * number, name, colour=COLOURS[name]))
    return found


def _text(x: float, y: float, text: str, *, size: int = 12, anchor: str = "start", colour: str = "#222") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}"'
    return f"<text {place}>{escape(text)}</text>"
