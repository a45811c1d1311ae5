"""Calls of the gateway that change or ask something, for the verbs of the control plane."""

from __future__ import annotations

from typing import Any

import httpx

from antiphon.cli.console import FAILED, WRONG_INPUT, fail
from antiphon.errors import BrokerUnavailable

PATIENCE = 20.0  # seconds for an answer


def call(method: str, url: str, path: str, body: object | None = None) -> Any:
    """What the gateway answers, as JSON.

    BrokerUnavailable if it cannot be reached or is not able to answer now; a refusal ends the program with its reason.
    """
    try:
        answer = httpx.request(method, f"{url.rstrip('/')}{path}", json=body, timeout=PATIENCE)
    except httpx.HTTPError as error:
        raise BrokerUnavailable(
            f"the gateway cannot be reached ({url}): {error}; is `antiphon gateway` running?"
        ) from None
    if answer.is_server_error:
        raise BrokerUnavailable(f"the gateway answered {answer.status_code}: {_reason(answer)}")
    if answer.is_error:
        wrong = answer.status_code in (httpx.codes.UNPROCESSABLE_ENTITY, httpx.codes.BAD_REQUEST)
        fail(_reason(answer), WRONG_INPUT if wrong else FAILED)
    return answer.json() if answer.content else None


def _reason(answer: httpx.Response) -> str:
    """What a problem says, and what to do next."""
    try:
        found = answer.json()
        return f"{found['detail']} {found['next']}"
    except (ValueError, KeyError, TypeError):
        return answer.text[:500]
