"""From what is asked of dead letters to a query of the store."""

from __future__ import annotations

from antiphon.errors import UnknownType
from antiphon.gateway.dead_letter_views import LetterChoice
from antiphon.gateway.listing import moment, position
from antiphon.gateway.parts import GatewayParts
from antiphon.gateway.problems import wrong
from antiphon.store import LetterPosition, LetterQuery, LetterState


def query(
    choice: LetterChoice,
    parts: GatewayParts,
    *,
    limit: int,
    after: str | None = None,
    oldest_first: bool = False,
    state: LetterState | None = None,
) -> LetterQuery:
    """The same in the store's words. Raises Problem, naming what cannot be understood."""
    last = position(after)
    now = parts.clock.now()
    return LetterQuery(
        ids=choice.ids,
        service=choice.service,
        message_type=_type(choice.type, parts),
        code=choice.code,
        handler=choice.handler,
        since=moment(choice.since, now, "since"),
        until=moment(choice.until, now, "until"),
        text=choice.text,
        state=state or choice.state,
        after=None if last is None else LetterPosition(*last),
        limit=limit,
        oldest_first=oldest_first,
    )


def state_asked_for(choice: LetterChoice) -> LetterState:
    """Those that are open, unless others are named; Problem for a choice that would be everything by mistake."""
    named = (choice.service, choice.type, choice.code, choice.handler, choice.since, choice.until, choice.text)
    if not choice.all and not any(named) and choice.state is None:
        raise wrong({"(body)": 'names no dead letters: give ids, a condition, or "all": true'})
    return choice.state or "open"


def _type(text: str | None, parts: GatewayParts) -> str | None:
    """A name on the wire; of a class, the one that it has there."""
    if text is None or "." in text:
        return text
    for wire, kind in parts.catalogue.types.items():
        if text == kind.__name__:
            return wire
    try:
        return parts.catalogue.command(text).type_name()
    except UnknownType as error:
        raise wrong({"type": str(error)}) from None
