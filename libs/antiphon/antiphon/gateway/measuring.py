"""How long requests take, by route and status."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from antiphon.metrics import Metrics

METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


class Measuring:
    """ASGI middleware; a path that no route takes is counted as `(none)`, so that the labels stay a closed set."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._active = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 500
        self._count(1)

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note_status)
        finally:
            self._count(-1)
            self._observe(scope, status, time.perf_counter() - begun)

    def _count(self, more: int) -> None:
        self._active += more
        self._metrics.gauge("http_server_active_requests").set(self._active)

    def _observe(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "(none)")
        method = scope["method"] if scope["method"] in METHODS else "(other)"
        self._metrics.histogram(
            "http_server_request_duration_seconds",
            http_request_method=method,
            http_route=route,
            http_response_status_code=str(status),
        ).observe(seconds)
