"""Which dead letters a verb is about."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from antiphon.cli.console import WRONG_INPUT, fail, waiting

PAGE = 200  # dead letters that one request asks for at most
ALL = 1_000_000  # more than anybody wants to choose at once
Letter = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Filters:
    """Conditions, as the gateway takes them."""

    service: str | None = None
    type: str | None = None
    code: str | None = None
    handler: str | None = None
    since: str | None = None
    until: str | None = None
    text: str | None = None
    state: str | None = None

    def parameters(self) -> dict[str, str]:
        """Those that are given."""
        return {name: value for name, value in asdict(self).items() if value is not None}


class Chosen(NamedTuple):
    """What the caller has named: dead letters, or all that meet the conditions."""

    ids: Sequence[str]
    everything: bool


def find(gateway: str, filters: Filters, limit: int) -> tuple[list[Letter], bool]:
    """So many dead letters, the newest first, page by page, and whether there are more."""
    found: list[Letter] = []
    cursor: dict[str, str] = {}
    while len(found) < limit:
        wanted = {**filters.parameters(), **cursor, "limit": min(PAGE, limit - len(found))}
        page = _page(gateway, wanted)
        found += page["dead_letters"]
        if page["next_cursor"] is None:
            return found, False
        cursor = {"cursor": page["next_cursor"]}
    return found, True


def by_ids(gateway: str, ids: Sequence[str]) -> list[Letter]:
    """Those of these that there are, in any order."""
    return [
        letter for some in chunks(ids, PAGE) for letter in _page(gateway, {"id": some, "limit": PAGE})["dead_letters"]
    ]


def one(gateway: str, letter_id: str) -> Letter:
    """A dead letter with its content; an id that is none ends the program."""
    from antiphon.cli.calls import call

    found: Letter = call("GET", gateway, f"/dead-letters/{letter_id}")
    return found


def choose(gateway: str, chosen: Chosen, filters: Filters) -> list[Letter]:
    """The dead letters that are meant, the oldest first; those that are named as they are named."""
    if chosen.everything and chosen.ids:
        fail("give either IDs or --all", WRONG_INPUT)
    if chosen.ids:
        if filters.parameters():
            fail("IDs are taken as they are: conditions go with --all", WRONG_INPUT)
        return _named(gateway, chosen.ids)
    if not chosen.everything:
        fail("name dead letters by their IDs, or all that meet the conditions with --all", WRONG_INPUT)
    open_ones = Filters(**{"state": "open", **filters.parameters()})
    with waiting("looking for dead letters"):
        return find(gateway, open_ones, ALL)[0][::-1]


def _named(gateway: str, ids: Sequence[str]) -> list[Letter]:
    found = {letter["letter_id"]: letter for letter in by_ids(gateway, list(dict.fromkeys(ids)))}
    unknown = [each for each in ids if each not in found]
    if unknown:
        fail(f"there is no dead letter {', '.join(unknown)}", WRONG_INPUT)
    return [found[each] for each in dict.fromkeys(ids)]


def pairs(texts: Sequence[str]) -> Mapping[str, Any]:
    """FIELD=VALUE, where the value is JSON if it can be, else text."""
    found = {}
    for text in texts:
        field, equals, value = text.partition("=")
        if not field or not equals:
            fail(f"--set {text}: write FIELD=VALUE", WRONG_INPUT)
        try:
            found[field] = json.loads(value)
        except ValueError:
            found[field] = value
    return found


def chunks(ids: Sequence[Any], size: int) -> Iterator[list[Any]]:
    """So many at a time."""
    return (list(ids[at : at + size]) for at in range(0, len(ids), size))


def _page(gateway: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
    from antiphon.cli.remote import ask

    page = ask(f"{gateway.rstrip('/')}/dead-letters", wanted)
    if page is None:
        fail(f"{gateway} lists no dead letters: is it a gateway of this release?", WRONG_INPUT)
    return page
