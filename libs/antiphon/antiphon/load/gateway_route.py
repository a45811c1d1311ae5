"""The way through the gateway: REST over connections that are kept."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from antiphon.errors import BrokerUnavailable, MessageError, UnknownType
from antiphon.lifecycle import FINAL
from antiphon.load.route import LABEL, NotServed, Route, RouteOptions

PATIENCE = 30.0  # seconds for an answer that needs no waiting
ONE_WAIT = 20.0  # seconds that one request waits for an end
PAUSE = 0.25  # seconds until a gateway is asked again that did not answer
IDLE = 4.0  # seconds a connection is kept unused: less than servers keep it
SHARE = 25  # commands under way that share a pool: each request looks at all connections of its own
WRONG = (400, 404, 405, 413, 422)  # no other answer would come to the same again


class GatewayRoute(Route):
    """Submits, then waits for the end by long-poll: two requests for each command."""

    def __init__(self, url: str, command_type: str, options: RouteOptions, in_flight: int) -> None:
        self.where = url.rstrip("/")
        self._type, self._options = command_type, options
        self._metadata: dict[str, Any] = {"tags": {LABEL: options.run}, "priority": options.priority}
        if options.tenant is not None:
            self._metadata["tenant"] = options.tenant
        trusted = ssl.create_default_context()
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=IDLE)
        pools = min(-(-in_flight // SHARE), 100)
        self._pools = [httpx.AsyncClient(verify=trusted, limits=limits, timeout=PATIENCE) for _ in range(pools)]
        self._next = 0

    def _pool(self) -> httpx.AsyncClient:
        self._next = (self._next + 1) % len(self._pools)
        return self._pools[self._next]

    async def schema(self) -> Mapping[str, Any]:
        try:
            answer = await self._pool().get(f"{self.where}/command-types")
            found = answer.raise_for_status().json()["command_types"]
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise BrokerUnavailable(
                f"the gateway cannot be used ({self.where}): {error}; is `antiphon gateway` running? "
                "Name another one by --url"
            ) from None
        except (ValueError, KeyError, TypeError):
            raise BrokerUnavailable(f"{self.where} is no gateway: it lists no command types") from None
        for each in found:
            if self._type in (each["command_type"], each.get("type")):
                schema: Mapping[str, Any] = each["parameters"]
                return schema
        known = ", ".join(sorted(each["command_type"] for each in found))
        raise UnknownType(f"{self.where} knows no command type {self._type!r}; it knows {known}")

    async def send(self, parameters: Mapping[str, Any], accepted: Callable[[], None]) -> None:
        pool = self._pool()
        body = {"command_type": self._type, "parameters": parameters, "metadata": self._metadata}
        try:
            answer = await pool.post(f"{self.where}/commands/submit", json=body)
        except httpx.HTTPError as error:
            raise NotServed(_kind(error)) from None
        if answer.status_code != httpx.codes.ACCEPTED:
            raise _refusal(answer)
        accepted()
        if self._options.outcomes:
            await self._end(pool, answer.json()["command_id"])

    async def _end(self, pool: httpx.AsyncClient, command_id: str) -> None:
        until = time.monotonic() + self._options.wait
        while (left := until - time.monotonic()) > 0:
            wait = min(left, ONE_WAIT)
            found = await self._asked(pool, command_id, wait)
            if found is None:
                await asyncio.sleep(PAUSE)
            elif found["status"] == "completed":
                return
            elif found["status"] in FINAL:
                error = found["error"] or {}
                raise NotServed(f"{found['status']} ({error.get('code', 'no code')})")
        raise NotServed(f"no outcome within {self._options.wait:g} s")

    async def _asked(self, pool: httpx.AsyncClient, command_id: str, wait: float) -> dict[str, Any] | None:
        """What the gateway knows; None while it does not answer: it may be on its way down, another one comes up."""
        asked = {"wait": f"{max(1, round(wait * 1000))}ms"}
        try:
            answer = await pool.get(f"{self.where}/commands/{command_id}", params=asked, timeout=wait + PATIENCE)
        except httpx.HTTPError:
            return None
        if answer.status_code != httpx.codes.OK:
            return None
        found: dict[str, Any] = answer.json()
        return found

    async def close(self) -> None:
        for pool in self._pools:
            await pool.aclose()


def _refusal(answer: httpx.Response) -> Exception:
    try:
        problem = answer.json()
        slug, detail = problem["type"].rpartition(":")[2], f"{problem['detail']} {problem['next']}"
    except (ValueError, KeyError, TypeError):
        slug, detail = answer.reason_phrase.lower(), answer.text[:500]
    if answer.status_code in WRONG:
        return MessageError(f"the gateway refuses the command ({answer.status_code} {slug}): {detail}")
    return NotServed(f"{answer.status_code} {slug}")


def _kind(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return "unreachable"
    return "no answer in time" if isinstance(error, httpx.TimeoutException) else "connection lost"
