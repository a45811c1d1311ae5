"""Redriving and discarding by the gateway: thousands at once, watched until their owners have dealt with them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from antiphon.cli.console import FAILED, err, show_json
from antiphon.cli.letter_choice import Letter, by_ids, chunks
from antiphon.durations import seconds
from antiphon.lifecycle import letter_id
from antiphon.store import CLOSED

AT_ONCE = 500  # dead letters that one request sends back
WORDS = {"redrive": ("redriving", "redriven"), "discard": ("discarding", "discarded")}
LOOK = 0.2  # seconds between two looks at what has become of them


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done with dead letters, and how the caller wants to hear of it."""

    gateway: str
    verb: Literal["redrive", "discard"]
    fields: Mapping[str, Any]
    dry_run: bool
    wait: str | None
    as_json: bool


@dataclass(slots=True)
class Report:
    """What has come of it: how many are on their way, and the ids of those that are not as they should be."""

    count: int = 0
    skipped: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    given_up_again: list[str] = field(default_factory=list)


def close(order: Order, letters: Sequence[Letter]) -> None:
    """Send all of them back; ends the program with 1 if something is not as it should be."""
    report = Report()
    ids = [letter["letter_id"] for letter in letters]
    with progress() as bar:
        if order.fields:  # everything is checked before anything is sent
            for some in bar.track(list(chunks(ids, AT_ONCE)), description="checking"):
                _send(order, some, dry_run=True)
        task = bar.add_task(WORDS[order.verb][0], total=len(ids))
        for some in chunks(ids, AT_ONCE):
            sent = _send(order, some, dry_run=order.dry_run)
            report.count += sent["count"]
            report.skipped += sent["skipped"]
            bar.advance(task, len(some))
        if order.wait is not None and not order.dry_run:
            skipped = set(report.skipped)
            watch(order, [letter for letter in letters if letter["letter_id"] not in skipped], report, bar)
    tell(order, report)


def _send(order: Order, ids: list[str], *, dry_run: bool) -> dict[str, Any]:
    from antiphon.cli.calls import call

    body: dict[str, Any] = {"ids": ids, "dry_run": dry_run}
    if order.fields:
        body["set"] = dict(order.fields)
    found: dict[str, Any] = call("POST", order.gateway, f"/dead-letters/{order.verb}", body)
    return found


def watch(order: Order, letters: Sequence[Letter], report: Report, bar: Progress) -> None:
    """Look until all are closed, or the time is over; then for those that were given up again."""
    assert order.wait is not None
    until = time.monotonic() + seconds(order.wait)
    left = {letter["letter_id"] for letter in letters}
    task = bar.add_task("closed by their owners", total=len(left))
    while left:
        left -= {found["letter_id"] for found in by_ids(order.gateway, sorted(left)) if found["state"] in CLOSED}
        bar.update(task, completed=len(letters) - len(left))
        if left and time.monotonic() > until:
            break
        time.sleep(LOOK)  # once more after the last one: the next generation may be told a moment later
    report.waiting = [each["letter_id"] for each in letters if each["letter_id"] in left]
    if order.verb == "redrive":
        again = by_ids(order.gateway, [next_generation(letter) for letter in letters])
        report.given_up_again = sorted(found["letter_id"] for found in again)


def next_generation(letter: Letter) -> str:
    """What the dead letter of its redrive would be called."""
    return letter_id(letter["service"], letter["message_id"], letter["handler"], letter["generation"] + 1)


def tell(order: Order, report: Report) -> None:
    """The result to stdout, what went wrong to stderr."""
    told = {
        "count": report.count,
        "skipped": report.skipped,
        "waiting": report.waiting,
        "given_up_again": report.given_up_again,
        "dry_run": order.dry_run,
    }
    if order.as_json:
        show_json(told)
    else:
        print(_sentence(order, report))
    _complain(report.skipped, "closed already, unknown, without content or not saved")
    _complain(report.waiting, f"not dealt with within {order.wait}")
    _complain(report.given_up_again, "given up again")
    if report.skipped or report.waiting or report.given_up_again:
        raise SystemExit(FAILED)


def _sentence(order: Order, report: Report) -> str:
    done = WORDS[order.verb][1]
    many = f"{report.count:,} dead letter{'' if report.count == 1 else 's'}"
    if order.dry_run:
        return f"{many} would be {done}"
    sent = f"{many} sent back to be {done}"
    return sent if order.wait is None else f"{sent}, {report.count - len(report.waiting):,} of them dealt with"


def _complain(ids: Sequence[str], why: str) -> None:
    if ids:
        shown = ", ".join(ids[:5]) + (f" and {len(ids) - 5:,} more" if len(ids) > 5 else "")
        err.print(f"{why}: {shown}", style="yellow", markup=False, highlight=False)


def progress() -> Progress:
    """A bar for people on a terminal; programs see nothing."""
    columns: Iterable[Any] = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=err, transient=True, disable=not err.is_terminal)
