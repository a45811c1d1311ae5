"""A limit on the size of requests, kept before anything is read into memory."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from antiphon.gateway.problems import Problem, response, too_large


class BodyLimit:
    """ASGI middleware: a request of more than `limit` bytes is answered with 413."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        stated = dict(scope["headers"]).get(b"content-length", b"0")
        if stated.isdigit() and int(stated) > self._limit:
            await response(self._problem())(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            # a body in chunks states no length, and a stated one may be wrong
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._limit:
                raise self._problem()
            return message

        await self._app(scope, counted, send)

    def _problem(self) -> Problem:
        return too_large(f"The request has more than {self._limit:,} bytes.")
