"""Asking the gateway over HTTP."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import httpx

from antiphon.durations import seconds
from antiphon.errors import AntiphonError, BrokerUnavailable
from antiphon.lifecycle import FINAL
from antiphon.settings import Settings

ONE_WAIT = 30.0  # seconds that one request waits; the gateway has a limit of its own
PATIENCE = 10.0  # seconds for an answer that needs no waiting


def gateway_url(settings: Settings) -> str:
    """Where a gateway with these settings is reached from this machine."""
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
    return f"http://{host}:{settings.port}"


def command_status(url: str, command_id: UUID, wait: str | None) -> dict[str, Any] | None:
    """What the gateway answers; with `wait`, when the command has ended or the time is over. None: it knows none such.

    BrokerUnavailable if the gateway cannot be reached.
    """
    until = time.monotonic() + (seconds(wait) if wait else 0)
    while True:
        wanted = max(0.0, min(until - time.monotonic(), ONE_WAIT))
        parameters = {"wait": f"{max(1, round(wanted * 1000))}ms"} if wanted else {}
        found = ask(f"{url.rstrip('/')}/commands/{command_id}", parameters, wanted)
        if found is None or found.get("status") in FINAL or time.monotonic() >= until:
            return found


def ask(url: str, parameters: Mapping[str, Any], wait: float = 0.0) -> dict[str, Any] | None:
    """What the gateway answers, within `wait` seconds and some patience; None for what it does not know.

    BrokerUnavailable if it cannot be reached, AntiphonError if it refuses the question.
    """
    try:
        answer = httpx.get(url, params=parameters, timeout=wait + PATIENCE)
    except httpx.HTTPError as error:
        raise BrokerUnavailable(
            f"the gateway cannot be reached ({url}): {error}; is `antiphon gateway` running?"
        ) from None
    if answer.status_code == httpx.codes.NOT_FOUND:
        return None
    if answer.is_error:
        problem = BrokerUnavailable if answer.is_server_error else AntiphonError
        raise problem(f"the gateway answered {answer.status_code} ({url}): {answer.text[:500]}")
    found: dict[str, Any] = answer.json()
    return found
