"""gateway: everything joined to one FastAPI application."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from antiphon.gateway import control_rest, dead_letter_rest, problems, rest, workflow_rest
from antiphon.gateway.cancelling import Cancelling
from antiphon.gateway.controlling import Controlling
from antiphon.gateway.following import Following
from antiphon.gateway.instructing import Instructing
from antiphon.gateway.limits import BodyLimit
from antiphon.gateway.listing import Listing
from antiphon.gateway.outbox import Outbox
from antiphon.gateway.parts import GatewayOptions, GatewayParts
from antiphon.gateway.production import Production
from antiphon.gateway.redriving import Redriving
from antiphon.gateway.submitting import Submitting
from antiphon.gateway.watch import Watch
from antiphon.gateway.workflow_reading import WorkflowReading

__all__ = ["GatewayOptions", "GatewayParts", "gateway"]


def gateway(parts: GatewayParts) -> FastAPI:
    """The application; serve it with any ASGI server.

    `app.state.watch` is its `Watch`: a projector in the same process may notify it of changes.
    """
    production = Production(parts)
    watch = Watch(parts.store, parts.options.watch_interval)
    app = FastAPI(title="Antiphon", summary="Commands in, answers out.", lifespan=_lifespan(parts, production))
    app.state.watch = watch
    app.add_middleware(BodyLimit, limit=parts.options.body_limit)
    problems.install(app)
    app.include_router(rest.submitting(Submitting(parts, production)))
    app.include_router(rest.following(Following(parts.store, watch), parts.options.wait_limit))
    app.include_router(rest.listing(Listing(parts)))
    cancelling, reading = Cancelling(parts, watch), WorkflowReading(parts)
    app.include_router(rest.cancelling(cancelling))
    app.include_router(dead_letter_rest.dead_letters(Redriving(parts)))
    app.include_router(workflow_rest.workflows(reading, Instructing(parts, reading, cancelling)))
    controlling = Controlling(parts)
    app.include_router(rest.types(parts.catalogue, controlling.command_types))
    for routes in (control_rest.processors, control_rest.declared_types, control_rest.pipeline):
        app.include_router(routes(controlling))
    _health(app, parts)
    return app


def _lifespan(
    parts: GatewayParts, production: Production
) -> Callable[[FastAPI], contextlib.AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with parts.client:
            outbox = asyncio.create_task(Outbox(parts, production).run())
            try:
                yield
            finally:
                outbox.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await outbox

    return lifespan


def _health(app: FastAPI, parts: GatewayParts) -> None:
    """For the platform that runs it: restart it if it is not alive, send it nothing while it is not ready."""

    @app.get("/livez", include_in_schema=False)
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> dict[str, str]:
        await run_in_threadpool(parts.store.ping)
        return {"status": "ready"}
