"""The REST endpoints of dead letters."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel

from antiphon.gateway.control_rest import problems
from antiphon.gateway.dead_letter_views import (
    Closing,
    ClosingSummary,
    DeadLetterDetails,
    DeadLetterList,
    LetterChoice,
    LetterId,
    RedriveChoice,
    RedriveRequest,
)
from antiphon.gateway.redriving import Redriving
from antiphon.store import LetterState

PAGE = 200  # dead letters that a page has at most
Id = Annotated[str, Path(min_length=1, max_length=64, description="letter_id, as the list tells it.")]
Ids = Annotated[list[LetterId], Query(max_length=PAGE, description="Only these.")]
Word = Annotated[str | None, Query(min_length=1, max_length=512)]
InState = Annotated[LetterState | None, Query(description="What has become of them.")]
Cursor = Annotated[str | None, Query(description="next_cursor of the page before, with the same other parameters.")]
Limit = Annotated[int, Query(ge=1, le=PAGE, description="How many a page has at most.")]


def dead_letters(redriving: Redriving) -> APIRouter:
    """Where dead letters are found, redriven and discarded."""
    routes = APIRouter()
    _reading(routes, redriving)
    _closing(routes, redriving)
    return routes


def _reading(routes: APIRouter, redriving: Redriving) -> None:
    @routes.get("/dead-letters", responses=problems(422, 503))
    async def listed(
        id: Ids = [],  # noqa: A002, B006 - the parameter's name; never changed, a list for the schema
        service: Word = None,
        type: Word = None,  # noqa: A002
        code: Word = None,
        handler: Word = None,
        since: Word = None,
        until: Word = None,
        text: Word = None,
        state: InState = None,
        cursor: Cursor = None,
        limit: Limit = 50,
    ) -> DeadLetterList:
        """Dead letters, the newest first, page by page."""
        choice = LetterChoice(
            ids=id or None,
            service=service,
            type=type,
            code=code,
            handler=handler,
            since=since,
            until=until,
            text=text,
            state=state,
            limit=limit,
        )
        return await redriving.page(choice, cursor)

    @routes.get("/dead-letters/{letter_id}", responses=problems(404, 422, 503))
    async def shown(letter_id: Id) -> DeadLetterDetails:
        """One dead letter, with its record and its error."""
        return await redriving.show(letter_id)


def _checked(answer: type[BaseModel], *refused: int) -> dict[int | str, dict[str, Any]]:
    """What is answered but 202: the same with 200 for a dry run, and problems."""
    return {200: {"model": answer, "description": "What would be done, of a dry run."}, **problems(*refused)}


def _closing(routes: APIRouter, redriving: Redriving) -> None:
    @routes.post("/dead-letters/redrive", status_code=202, responses=_checked(ClosingSummary, 400, 413, 422, 503))
    async def redrive_many(request: RedriveChoice, response: Response) -> ClosingSummary:
        """Redrive all that are chosen, the oldest first: each runs its handler once more, at its owner."""
        response.status_code = 200 if request.dry_run else 202
        return await redriving.redrive_many(request, request.set)

    @routes.post("/dead-letters/discard", status_code=202, responses=_checked(ClosingSummary, 400, 413, 422, 503))
    async def discard_many(request: LetterChoice, response: Response) -> ClosingSummary:
        """Discard all that are chosen: they are closed without having run again."""
        response.status_code = 200 if request.dry_run else 202
        return await redriving.discard_many(request)

    wrong = _checked(Closing, 400, 404, 409, 413, 422, 503)

    @routes.post("/dead-letters/{letter_id}/redrive", status_code=202, responses=wrong)
    async def redrive(letter_id: Id, response: Response, request: RedriveRequest | None = None) -> Closing:
        """Redrive one, as it was or with other content."""
        asked = request or RedriveRequest()
        response.status_code = 200 if asked.dry_run else 202
        return await redriving.redrive(letter_id, asked)

    @routes.post("/dead-letters/{letter_id}/discard", status_code=202, responses=problems(404, 409, 422, 503))
    async def discard(letter_id: Id) -> Closing:
        """Discard one."""
        return await redriving.discard(letter_id)
