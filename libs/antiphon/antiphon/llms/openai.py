"""A model behind the chat completions API: OpenAI, Azure OpenAI, and the many servers that speak the same."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Literal
from urllib.parse import quote

import httpx

from antiphon.errors import ConfigurationError, LlmKeyRefused, LlmTimedOut, LlmUnavailable
from antiphon.llm import Completion, Llm, Prompt
from antiphon.llms.answers import checker
from antiphon.llms.chat import completion, request
from antiphon.llms.refusals import refusal
from antiphon.secret_file import SecretFile

KEY_SETTING = "ANTIPHON_LLM_KEY"

Token = Callable[[], Awaitable[str]]
"""Gives a valid Entra ID access token, from its own cache as long as it is fresh; asked before every request."""


@dataclass(frozen=True, slots=True)
class OpenAiOptions:
    """Where the model is and who asks; ConfigurationError for what cannot be.

    `url` is what the paths are put behind: `https://api.openai.com/v1`, `https://<resource>.openai.azure.com/openai/v1`,
    or, with `api_version` (Azure OpenAI's dated API), the resource itself: `https://<resource>.openai.azure.com`; then
    `model` is the name of the deployment. A server without authentication needs neither `key` nor `token`; a `key_file`
    is read again for each request.

    `timeout` is in seconds and bounds a whole request, `connect_timeout` the way to the server; `connections` is how
    many requests may be under way at once on one event loop, others wait in line (their timeout running). `token_limit`
    is what the server calls the bound of a completion: older ones know `max_tokens` only.
    """

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    token: Token | None = field(default=None, repr=False)
    key_file: SecretFile | None = field(default=None, repr=False)
    api_version: str | None = None
    timeout: float = 60.0
    connect_timeout: float = 5.0
    connections: int = 100
    token_limit: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"

    def __post_init__(self) -> None:
        mistakes = list(self._mistakes())
        if mistakes:
            raise ConfigurationError(mistakes)

    def _mistakes(self) -> list[str]:
        found = []
        try:
            url = httpx.URL(self.url)
        except httpx.InvalidURL:  # without its words, which may quote a password
            return ["ANTIPHON_LLM_URL is no URL; give it as https://host/path"]
        if url.scheme not in ("http", "https") or not url.host:
            found.append("ANTIPHON_LLM_URL must begin with http:// or https:// and name a host")
        if url.userinfo or url.query:
            found.append(f"ANTIPHON_LLM_URL must hold no password and no query: give the key as {KEY_SETTING}")
        if not self.model:
            found.append("ANTIPHON_LLM_MODEL is missing: name the model, with Azure the deployment")
        if self.key is not None and not fit_for_header(self.key):
            found.append(f"{KEY_SETTING} holds a space, a line break or a character that no key has")
        if sum(each is not None for each in (self.key, self.token, self.key_file)) > 1:
            found.append(f"give {KEY_SETTING}, {KEY_SETTING}_FILE or a token, one of them")
        if min(self.timeout, self.connect_timeout, self.connections) <= 0:
            found.append("timeout, connect_timeout and connections of a model must be above 0")
        return found

    @property
    def endpoint(self) -> httpx.URL:
        """Where chat completions are asked for."""
        base = self.url.rstrip("/")
        if self.api_version is None:
            return httpx.URL(f"{base}/chat/completions")
        path = f"{base}/openai/deployments/{quote(self.model, safe='')}/chat/completions"
        return httpx.URL(path, params={"api-version": self.api_version})


@cache
def _trusted() -> ssl.SSLContext:
    """The certificates that servers are checked against; reading them takes 20 ms, which each event loop would wait."""
    return httpx.create_ssl_context()


class _Connections:
    """Those of one event loop, held until somebody cancels the keeper: the loop when it ends, or `close`."""

    def __init__(self, options: OpenAiOptions, ended: Callable[[], None]) -> None:
        limits = httpx.Limits(max_connections=options.connections, max_keepalive_connections=options.connections)
        timeout = httpx.Timeout(options.timeout, connect=options.connect_timeout, pool=None)
        self.client = httpx.AsyncClient(limits=limits, timeout=timeout, verify=_trusted())
        # a line of our own: httpx looks at all who wait, and all connections, whenever one of them changes
        self.line = asyncio.Semaphore(options.connections)
        self._ended = ended
        self._keeper = asyncio.create_task(self._keep(), name="model connections")

    async def _keep(self) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self._end()

    async def _end(self) -> None:
        self._ended()
        await self.client.aclose()

    async def close(self) -> None:
        self._keeper.cancel()
        await asyncio.wait([self._keeper])
        await self._end()  # a keeper that is cancelled before its first step does nothing at all


class OpenAiLlm(Llm):
    """Asks over HTTP, one request a call.

    It may be used from several event loops; each has connections of its own, which are closed with the loop (as
    `asyncio.run` and the worker's executor end theirs, by cancelling what still runs) or by `close` on that loop.
    """

    def __init__(self, options: OpenAiOptions) -> None:
        self._options = options
        self._connections: dict[asyncio.AbstractEventLoop, _Connections] = {}
        self._closed = False

    async def complete(self, prompt: Prompt) -> Completion:
        if prompt.schema is not None:
            checker(prompt.schema)
        options = self._options
        body = request(prompt, options.model, options.token_limit)
        try:
            async with asyncio.timeout(options.timeout):
                connections, headers = self._connected(), await self._headers()
                async with connections.line:
                    response = await connections.client.post(options.endpoint, json=body, headers=headers)
        except (TimeoutError, httpx.ReadTimeout, httpx.WriteTimeout) as error:
            raise LlmTimedOut(
                f"{self._named} did not answer within {options.timeout:g} s; "
                "ask for less, or raise ANTIPHON_LLM_TIMEOUT and the handler's timeout"
            ) from error
        except httpx.HTTPError as error:
            why = str(error) or type(error).__name__
            raise LlmUnavailable(f"{self._named} cannot be reached: {why}; check ANTIPHON_LLM_URL") from error
        if not response.is_success:
            raise refusal(response, self._named, self._secret(headers))
        return completion(response, prompt, self._named)

    @property
    def _named(self) -> str:
        return f"model {self._options.model} at {self._options.endpoint.copy_with(query=None)}"

    async def _headers(self) -> dict[str, str]:
        options = self._options
        if options.token is not None:
            token = await options.token()
            if not fit_for_header(token):
                raise LlmKeyRefused(f"what was given as a token for {self._named} is none; check its source")
            return {"Authorization": f"Bearer {token}"}
        key = options.key if options.key_file is None else options.key_file.value()
        if key is None:
            return {}
        if not fit_for_header(key):
            raise LlmKeyRefused(f"the file of {KEY_SETTING}_FILE holds no key for {self._named}; write one there")
        return {"api-key": key} if options.api_version else {"Authorization": f"Bearer {key}"}

    def _secret(self, headers: dict[str, str]) -> str | None:
        """What must be told to nobody, even if the server repeats it."""
        return next((value.removeprefix("Bearer ") for value in headers.values()), None)

    def _connected(self) -> _Connections:
        if self._closed:
            raise RuntimeError("this model has been closed; make a new one")
        loop = asyncio.get_running_loop()
        found = self._connections.get(loop)
        if found is None:
            found = _Connections(self._options, lambda: self._forget(loop))
            self._connections[loop] = found
        return found

    def _forget(self, loop: asyncio.AbstractEventLoop) -> None:
        self._connections.pop(loop, None)

    async def close(self) -> None:
        self._closed = True
        connections = self._connections.get(asyncio.get_running_loop())
        if connections is not None:
            await connections.close()


def fit_for_header(secret: str) -> bool:
    """Visible ASCII alone: everything else would be quoted, secret and all, by the error of the HTTP client."""
    return bool(secret) and all("!" <= character <= "~" for character in secret)
