"""Lists of the gateway, page by page, for the verbs of workflows."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from antiphon.cli.console import WRONG_INPUT, err, fail


def turns_of(where: str, instance: UUID, limit: int) -> tuple[list[dict[str, Any]], bool]:
    """So many turns of an instance, and whether there are more; an id that nobody knows ends the program."""
    return pages(f"{where}/workflows/{instance}/history", "turns", {}, limit, of=f"instance {instance}")


def pages(path: str, name: str, wanted: dict[str, Any], limit: int, of: str = "") -> tuple[list[dict[str, Any]], bool]:
    """So many of what a path lists under this name, and whether there are more; `of` is whose they are."""
    from antiphon.cli.remote import ask

    found: list[dict[str, Any]] = []
    asked = {key: value for key, value in wanted.items() if value is not None}
    while len(found) < limit:
        page = ask(path, {**asked, "limit": min(200, limit - len(found))})
        if page is None:
            fail(f"the gateway knows no {of or name}; is it a gateway of this release?", WRONG_INPUT)
        found += page[name]
        if page["next_cursor"] is None:
            return found, False
        asked["cursor"] = page["next_cursor"]
    return found, True


def tell_more(more: bool, limit: int) -> None:
    """Say so, if there are more."""
    if more:
        err.print(f"there are more than these {limit}; narrow the list, or raise --limit", style="yellow")
