"""The way straight to the cluster, by a client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from pydantic import ValidationError

from antiphon.client import Client, SubmitOptions
from antiphon.errors import BrokerError, CommandFailed, UnknownTopic
from antiphon.load.route import LABEL, NotServed, Route, RouteOptions
from antiphon.messages import Command, invalid


class ClientRoute(Route):
    """Submits, and hears the end as an asker does: by the answer. `where` names the cluster."""

    def __init__(self, client: Client, kind: type[Command[Any]], options: RouteOptions, where: str) -> None:
        self.where = where
        self._client, self._kind, self._options = client, kind, options
        self._sent = SubmitOptions(priority=options.priority, tenant=options.tenant, tags={LABEL: options.run})

    async def schema(self) -> Mapping[str, Any]:
        return self._kind.model_json_schema()

    async def send(self, parameters: Mapping[str, Any], accepted: Callable[[], None]) -> None:
        command = self._command(parameters)
        try:
            if not self._options.outcomes:
                await self._client.submit(command, self._sent)
                accepted()
                return
            wait = timedelta(seconds=self._options.wait)
            await self._client.request(command, timeout=wait, options=self._sent, stored=lambda _: accepted())
        except CommandFailed as failed:
            raise NotServed(f"failed ({failed.code})") from None
        except UnknownTopic:
            raise
        except BrokerError as error:
            raise NotServed(type(error).__name__) from None

    def _command(self, parameters: Mapping[str, Any]) -> Command[Any]:
        try:
            return self._kind.model_validate(parameters)
        except ValidationError as error:
            raise invalid(self._kind, error) from None

    async def close(self) -> None:
        await self._client.close()

    async def __aenter__(self) -> ClientRoute:
        await self._client.__aenter__()
        return self
