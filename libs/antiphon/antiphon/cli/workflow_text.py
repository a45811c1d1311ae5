"""Instances of workflows as text for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from antiphon.cli.letter_text import plain

WORKFLOWS = ("instance_id", "workflow", "status", "note", "turns", "waiting", "updated_at", "correlation_id")
TURNS = ("turn", "at", "came", "led_to")
LONGEST = 100  # characters of a text in a table


def line(found: Mapping[str, Any]) -> dict[str, Any]:
    """An instance in a table; of a parked one the note is why."""
    note = found["parked"]["why"] if found["parked"] else found["note"] or ""
    return {**found, "note": _short(note), "correlation_id": plain(found["correlation_id"])}


def turn_line(turn: Mapping[str, Any]) -> dict[str, Any]:
    """A turn in a table."""
    told = turn["input"]
    came = " ".join(filter(None, (told["kind"], told["name"], told["answered"] and f"of {told['answered']}")))
    led_to = ", ".join(f"{each['number']}: {each['kind']} {each['name']}".rstrip() for each in turn["decisions"])
    return {"turn": f"{turn['run']}.{turn['turn']}", "at": turn["at"], "came": _short(came), "led_to": _short(led_to)}


def question_line(found: Mapping[str, Any]) -> dict[str, Any]:
    """A question in a table."""
    asked = found["question"]
    proposal = "" if asked["proposal"] is None else json.dumps(asked["proposal"], ensure_ascii=False)
    shown = {**found, "role": asked["role"], "question": _short(asked["text"]), "proposal": _short(proposal)}
    return {name: "" if value is None else value for name, value in shown.items()}


def told(found: Mapping[str, Any]) -> str:
    """Everything that is known of an instance, one thing a line."""
    return "\n".join(map(plain, [*_head(found), *_waits(found["waits"]), *_end(found["end"])]))


def _head(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"workflow     {found['workflow']} of {found['service']}, version {found['version']}"
    yield f"instance     {found['instance_id']}, correlation {found['correlation_id']}, tenant {found['tenant'] or '-'}"
    yield f"status       {found['status']}{': ' + found['note'] if found['note'] else ''}"
    yield f"progress     run {found['run']}, attempt {found['attempt'] or '-'}, {found['turns']} turns"
    yield f"began        {found['started_at']}, last turn {found['updated_at']}, ended {found['ended_at'] or '-'}"
    if found["cancelled"] is not None:
        yield f"cancelled    {found['cancelled']}"
    if parked := found["parked"]:
        yield f"parked       {parked['kind']} before turn {parked['run']}.{parked['turn']}, since {parked['since']}"
        yield f"             {parked['why']}"


def _waits(waits: list[Mapping[str, Any]]) -> Iterator[str]:
    for wait in waits:
        until = f", until {wait['due_at']}" if wait["due_at"] else ""
        yield f"waits for    {wait['number']}: {wait['kind']} {wait['name']} since {wait['since']}{until}"
        if wait["command_id"]:
            yield f"             command {wait['command_id']}"
        if asked := wait["question"]:
            yield f"             {asked['text']} (role {asked['role'] or 'any'})"
            if asked["proposal"] is not None:
                yield f"             {json.dumps(asked['proposal'], ensure_ascii=False)}"


def _end(end: Mapping[str, Any] | None) -> Iterator[str]:
    if end is None:
        return
    yield f"end          {' '.join(filter(None, (end['kind'], end['type'])))}"
    for why in filter(None, (end["failure"], *end["uncompensated"])):
        yield f"             {why['code']}: {why['error_class']}: {why['message']}"


def _short(text: str) -> str:
    return plain(text if len(text) <= LONGEST else text[: LONGEST - 1] + "…")
