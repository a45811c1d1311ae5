"""Every error of the gateway as application/problem+json (RFC 9457), with what to do next."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import HTTPException, RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException as StarletteHTTPException

from antiphon.errors import StoreUnavailable
from antiphon.masking import masked

LOG = logging.getLogger(__name__)
RETRY_AFTER = 5
MEDIA_TYPE = "application/problem+json"


class WrongField(BaseModel):
    """One field that is not as it must be: its path in the request, and what is wrong with it."""

    field: str
    problem: str


class ProblemBody(BaseModel):
    """What a client gets instead of an answer; `next` says what to do about it."""

    type: str
    title: str
    status: int
    detail: str
    next: str
    errors: list[WrongField] = []


class Problem(HTTPException):
    """Raised anywhere in a request; `slug` names the kind of problem for programs."""

    def __init__(
        self,
        status: int,
        slug: str,
        detail: str,
        *,
        next: str,  # noqa: A002 - the member's name in the body
        errors: Sequence[WrongField] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.slug, self.next, self.errors = slug, next, errors


def wrong(fields: Mapping[str, str]) -> Problem:
    """The request cannot be taken as it is; path of each wrong field -> what is wrong with it."""
    errors = [WrongField(field=path, problem=problem) for path, problem in fields.items()]
    listed = "; ".join(f"{error.field}: {error.problem}" for error in errors)
    return Problem(422, "invalid-request", listed, next="Correct the listed fields and send it again.", errors=errors)


def too_large(detail: str) -> Problem:
    """More bytes than are taken."""
    return Problem(413, "too-large", detail, next="Send a reference to the content instead of the content.")


def unavailable(detail: str, *, again: str, seconds: int = RETRY_AFTER) -> Problem:
    """Something that the gateway needs does not answer."""
    return Problem(503, "unavailable", detail, next=again, headers={"Retry-After": str(seconds)})


def overloaded(detail: str, seconds: int) -> Problem:
    """More work waits than is taken; nothing of the request has been kept."""
    again = f"Send the same request again in {seconds} s."
    return Problem(503, "overloaded", detail, next=again, headers={"Retry-After": str(seconds)})


def response(problem: Problem) -> JSONResponse:
    """The problem on the wire."""
    body = ProblemBody(
        type=f"urn:antiphon:problem:{problem.slug}",
        title=HTTPStatus(problem.status_code).phrase,
        status=problem.status_code,
        detail=masked(str(problem.detail)),
        next=problem.next,
        errors=[WrongField(field=masked(each.field), problem=masked(each.problem)) for each in problem.errors],
    )
    return JSONResponse(
        body.model_dump(exclude={"errors"} if not problem.errors else set()),
        problem.status_code,
        problem.headers,
        media_type=MEDIA_TYPE,
    )


def install(app: FastAPI) -> None:
    """Let the app answer every error as a problem."""
    # one per class: starlette looks an exception's handler up by its classes
    app.add_exception_handler(StarletteHTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(StoreUnavailable, _store_away)
    app.add_exception_handler(Exception, _unexpected)
    described = app.openapi

    def openapi() -> dict[str, Any]:
        return _as_problems(described())

    app.openapi = openapi  # type: ignore[method-assign] # as FastAPI has it replaced


def _as_problems(description: dict[str, Any]) -> dict[str, Any]:
    """The description with errors under the content type that they have; FastAPI knows one for all answers."""
    operations = [operation for path in description["paths"].values() for operation in path.values()]
    for responses in (operation["responses"] for operation in operations):
        for content in (found.get("content", {}) for status, found in responses.items() if status >= "400"):
            if "application/json" in content:
                content[MEDIA_TYPE] = content.pop("application/json")
    return description


async def _http(_: Request, error: Exception) -> JSONResponse:
    if isinstance(error, Problem):
        return response(error)
    assert isinstance(error, StarletteHTTPException)
    slug = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    problem = Problem(error.status_code, slug, str(error.detail), next="See /docs for what there is.")
    problem.headers = dict(error.headers or {})
    return response(problem)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(each["type"] == "json_invalid" for each in found):
        detail = f"The body is not JSON: {found[0]['ctx']['error']} at character {found[0]['loc'][-1]}."
        return response(Problem(400, "malformed", detail, next="Send a JSON object."))
    return response(wrong({_path(each["loc"]): each["msg"] for each in found}))


def _path(location: Sequence[Any]) -> str:
    where, *path = map(str, location)
    return ".".join(path) or "(body)" if where == "body" else f"{where} {'.'.join(path)}"


async def _store_away(_: Request, error: Exception) -> JSONResponse:
    LOG.error("the store does not answer: %s", error)
    return response(unavailable("The database of the read side does not answer.", again="Send the request again."))


async def _unexpected(_: Request, error: Exception) -> JSONResponse:
    # starlette logs it with its stack; its text may tell more than a client should know
    detail = f"The gateway failed with {type(error).__name__}."
    return response(
        Problem(500, "internal", detail, next="Send it again; if it stays, report the time of the request.")
    )
