"""Changing the content of dead letters in the caller's editor, checked before anything is sent."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import click

from antiphon.cli.calls import call
from antiphon.cli.console import WRONG_INPUT, err, fail
from antiphon.cli.letter_choice import Letter, one
from antiphon.cli.letter_closing import Order, Report, progress, tell, watch


def redrive_edited(order: Order, letters: Sequence[Letter]) -> None:
    """Have each edited and checked, then send all that were saved."""
    edited = [(letter, content) for letter in letters if (content := _edited(order, letter)) is not None]
    report = Report()
    for letter, content in edited:
        if not order.dry_run:
            call("POST", order.gateway, _path(letter), {"parameters": content})
        report.count += 1
    saved = {letter["letter_id"] for letter, _ in edited}
    report.skipped = [letter["letter_id"] for letter in letters if letter["letter_id"] not in saved]
    if order.wait is not None and not order.dry_run:
        with progress() as bar:
            watch(order, [letter for letter, _ in edited], report, bar)
    tell(order, report)


def _edited(order: Order, letter: Letter) -> dict[str, Any] | None:
    """The content as it was saved and found good; None if it was not saved."""
    whole = one(order.gateway, letter["letter_id"])
    if whole["payload"] is None:
        fail(f"{letter['letter_id']} cannot be edited: {whole['unreadable'] or 'it holds no content'}", WRONG_INPUT)
    text = json.dumps(whole["payload"], indent=2, ensure_ascii=False)
    while True:
        saved = click.edit(f"{text}\n", extension=".json", require_save=True)
        if saved is None:
            err.print(f"{letter['letter_id']} was not saved and is left as it is", style="yellow")
            return None
        text = saved
        try:
            content = _parsed(text)
            call("POST", order.gateway, _path(letter), {"parameters": content, "dry_run": True})
        except SystemExit:  # what is wrong has been told
            if not (sys.stdin.isatty() and click.confirm("edit it again?", default=True, err=True)):
                raise
        else:
            return content


def _parsed(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError as error:
        fail(f"this is not JSON: {error}", WRONG_INPUT)
    if not isinstance(content, dict):
        fail("this is no JSON object", WRONG_INPUT)
    return content


def _path(letter: Letter) -> str:
    return f"/dead-letters/{letter['letter_id']}/redrive"
