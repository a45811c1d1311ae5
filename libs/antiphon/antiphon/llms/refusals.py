"""What it means when a model's server answers with an error."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import httpx

from antiphon.errors import (
    LlmContentRefused,
    LlmError,
    LlmKeyRefused,
    LlmRateLimited,
    LlmRequestRefused,
    LlmTimedOut,
    LlmUnavailable,
)

SHOWN = 300  # characters of what a server says that an error quotes
LONGEST_DELAY = 86_400.0  # seconds; a stated wait beyond it is a mistake
REFUSED_KEY = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
TOO_LATE = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.GATEWAY_TIMEOUT)
FILTERED = ("content_filter", "content_policy_violation")


def refusal(response: httpx.Response, named: str, secret: str | None) -> LlmError:
    """The error that this response is; the `secret` is in none of them, even if the server repeats it."""
    status = response.status_code
    code, told = _told(response, secret)
    if status in REFUSED_KEY:
        # without what the server said: it may repeat a part of the key
        return LlmKeyRefused(f"{named} refused the key (HTTP {status}); check ANTIPHON_LLM_KEY and ANTIPHON_LLM_URL")
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return LlmRateLimited(f"{named} takes no more requests for now (HTTP 429): {told}", retry_after(response))
    if status in TOO_LATE:
        return LlmTimedOut(f"{named} did not answer in time (HTTP {status}): {told}")
    if response.is_server_error:
        return LlmUnavailable(f"{named} is in trouble (HTTP {status}): {told}", retry_after(response))
    if code in FILTERED:
        return LlmContentRefused(f"{named} refused the content (HTTP {status}): {told}")
    advice = "check ANTIPHON_LLM_URL and ANTIPHON_LLM_MODEL"
    return LlmRequestRefused(f"{named} does not take the request (HTTP {status}): {told}; {advice}")


def retry_after(response: httpx.Response) -> timedelta:
    """How long the server wants us to wait: seconds or an HTTP date (by the server's own clock, if it tells it)."""
    stated = response.headers.get("retry-after", "")
    try:
        delay = float(stated)
    except ValueError:
        until = _date(stated)
        now = _date(response.headers.get("date", "")) or datetime.now(UTC)
        delay = 0.0 if until is None else (until - now).total_seconds()
    return timedelta(seconds=min(max(delay, 0.0), LONGEST_DELAY)) if math.isfinite(delay) else timedelta()


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _told(response: httpx.Response, secret: str | None) -> tuple[str | None, str]:
    """The server's own code, and its words without the secret."""
    try:
        error: Any = response.json()["error"]
        code, words = str(error.get("code") or ""), str(error.get("message") or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        code, words = "", response.text
    said = " ".join(part for part in (code and f"[{code}]", words or response.reason_phrase) if part)
    hidden = said.replace(secret, "[key]") if secret else said
    return code, hidden[:SHOWN]
