"""The REST endpoints: what comes in over HTTP, and what goes out."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response

from antiphon.catalogue import Catalogue
from antiphon.control import CommandTypeDeclared, DeclaredCommand
from antiphon.durations import seconds
from antiphon.gateway.cancelling import Cancelling
from antiphon.gateway.following import Following
from antiphon.gateway.listing import Listing, ListRequest
from antiphon.gateway.problems import ProblemBody, wrong
from antiphon.gateway.submitting import SubmitHeaders, Submitting
from antiphon.gateway.views import (
    Accepted,
    CancelAccepted,
    CancelRequest,
    CommandHistory,
    CommandList,
    CommandStatus,
    CommandTypes,
    SubmitRequest,
    accepted,
    command_type,
    declared_command_type,
)
from antiphon.lifecycle import Status

Key = Annotated[
    str | None,
    Header(min_length=1, max_length=255, description="The same key with the same body is the same command."),
]
Trace = Annotated[str | None, Header(include_in_schema=False)]
TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
LONGEST_TRACESTATE = 512
Wait = Annotated[
    str | None,
    Query(description="Such as 10s, at most 60s: wait for the command's end or, with If-None-Match, for any change."),
]
Known = Annotated[str | None, Header(alias="If-None-Match", description="The ETag of an answer already had.")]
Type = Annotated[str | None, Query(description="A command type, or a type's name on the wire.")]
InStatus = Annotated[Status | None, Query(description="The status that the commands have now.")]
Tags = Annotated[list[str], Query(description="name:value, or name for any value; all that are given must fit.")]
Since = Annotated[str | None, Query(description="An RFC 3339 time, or how long ago: 1h.")]
Cursor = Annotated[str | None, Query(description="next_cursor of the page before, with the same other parameters.")]
Limit = Annotated[int, Query(ge=1, le=200, description="How many commands a page has at most.")]


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": ProblemBody} for status in statuses}


def submitting(service: Submitting) -> APIRouter:
    """Where commands are taken in."""
    routes = APIRouter()

    @routes.post("/commands/submit", status_code=202, responses=_problems(400, 409, 413, 422, 503))
    async def submit(
        request: SubmitRequest,
        response: Response,
        idempotency_key: Key = None,
        traceparent: Trace = None,
        tracestate: Trace = None,
    ) -> Accepted:
        """Submit a command: it is kept, then carried out by its service. Clients never wait for the work itself."""
        row = await service.submit(request, SubmitHeaders(idempotency_key, *trace_context(traceparent, tracestate)))
        response.headers["Location"] = f"/commands/{row.command_id}"
        return accepted(row)

    return routes


def following(service: Following, wait_limit: float) -> APIRouter:
    """Where commands are followed."""
    routes = APIRouter()

    @routes.get("/commands/{command_id}", response_model=CommandStatus, responses=_problems(404, 422, 503))
    async def command(
        command_id: str, response: Response, wait: Wait = None, known: Known = None
    ) -> CommandStatus | Response:
        """What has become of a command."""
        had = known and known.removeprefix("W/")  # a proxy that compresses marks the tag as weak
        status, etag = await service.see(command_id, min(_seconds(wait), wait_limit), had)
        if had == etag:
            return Response(status_code=304, headers={"ETag": etag})
        response.headers["ETag"] = etag
        return status

    return routes


def listing(service: Listing) -> APIRouter:
    """Where commands are looked for."""
    routes = APIRouter()

    @routes.get("/commands", responses=_problems(422, 503))
    async def commands(
        type: Type = None,  # noqa: A002 - the parameter's name
        status: InStatus = None,
        tag: Tags = [],  # noqa: B006 - never changed; a list for the schema
        since: Since = None,
        cursor: Cursor = None,
        limit: Limit = 50,
    ) -> CommandList:
        """Commands, the newest first, page by page; what is submitted meanwhile shifts no page."""
        return await service.page(ListRequest(type, status, tag, since, cursor, limit))

    @routes.get("/commands/{command_id}/history", responses=_problems(404, 422, 503))
    async def history(command_id: str) -> CommandHistory:
        """Everything that has happened to a command, the oldest first."""
        return await service.history(command_id)

    return routes


def cancelling(service: Cancelling) -> APIRouter:
    """Where commands are ended early."""
    routes = APIRouter()

    @routes.post("/commands/{command_id}/cancel", status_code=202, responses=_problems(400, 404, 409, 413, 422, 503))
    async def cancel(command_id: str, request: CancelRequest | None = None) -> CancelAccepted:
        """Ask the command's owner to end it, whether it runs, waits or is scheduled. Its end tells what came of it."""
        return await service.cancel(command_id, request or CancelRequest())

    return routes


def types(catalogue: Catalogue, declared: Callable[[], Awaitable[dict[str, CommandTypeDeclared]]]) -> APIRouter:
    """What can be submitted: the catalogue's types, and those declared at run time."""
    routes = APIRouter()
    kinds = [kind for _, kind in sorted(catalogue.commands.items()) if kind is not DeclaredCommand]
    built_in = [command_type(kind) for kind in kinds]

    @routes.get("/command-types", responses=_problems(503))
    async def command_types() -> CommandTypes:
        """Every type of command, with JSON Schemas of its parameters and its reply."""
        return CommandTypes(command_types=[*built_in, *map(declared_command_type, (await declared()).values())])

    return routes


def trace_context(traceparent: str | None, tracestate: str | None) -> tuple[str | None, str | None]:
    """W3C's headers as far as they can be read; a request never fails for them."""
    if traceparent is None or not TRACEPARENT.fullmatch(traceparent):
        return None, None
    usable = tracestate is not None and tracestate.isascii() and 0 < len(tracestate) <= LONGEST_TRACESTATE
    return traceparent, tracestate if usable else None


def _seconds(wait: str | None) -> float:
    try:
        return 0.0 if wait is None else seconds(wait)
    except ValueError as error:
        raise wrong({"query wait": str(error)}) from None
