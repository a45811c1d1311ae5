"""A model's server on loopback: real HTTP, the chat completions API, and answers that a test decides."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from tests.waiting import until

LONGEST_HOLD = 30.0


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came; names of headers in lower case."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def texts(self) -> list[str]:
        """What was said, instructions included."""
        return [message["content"] for message in self.body["messages"]]


@dataclass(frozen=True, slots=True)
class Answered:
    """A response: what is no text goes out as JSON. With `drop` the connection ends in the middle of it."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False


def said(text: str | None, *, model: str = "test-model", finish_reason: str = "stop", **message: Any) -> Answered:
    """A chat completion with this text."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish_reason}
    usage = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
    return Answered({"object": "chat.completion", "model": model, "choices": [choice], "usage": usage})


def failed(status: int, message: str = "no", code: str | None = None, **headers: str) -> Answered:
    """An error as such servers say it; `retry_after="3"` is the header Retry-After."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answered({"error": {"message": message, "type": "error", "code": code}}, status, named)


class ModelServer:
    """Answers with `answer(asked)`, on a thread for each connection; a context manager.

    `asked` has every request. While `hold()` says so for one, it waits for `release` and counts in `held`.
    """

    def __init__(self, answer: Callable[[Asked], Answered] = lambda asked: said("yes")) -> None:
        self.answer = answer
        self.hold: Callable[[Asked], bool] = lambda asked: False
        self.release = threading.Event()
        self.asked: list[Asked] = []
        self.held = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _serving(self), bind_and_activate=False)
        self._server.daemon_threads = True
        self._server.request_queue_size = 200
        # not server_bind of http.server: it looks up the host's full name, which takes seconds without DNS
        self._server.socket.bind(("127.0.0.1", 0))
        self._server.server_activate()
        self.url = f"http://127.0.0.1:{self._server.socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="model server")

    def __enter__(self) -> ModelServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def until_held(self, count: int) -> None:
        """Return when so many requests wait."""
        until(lambda: self.held >= count, f"{count} requests wait at the model")

    def take(self, asked: Asked) -> Answered:
        """The answer to this request, when its time has come."""
        with self._lock:
            self.asked.append(asked)
            held = self.hold(asked)
            self.held += held
        if held:
            self.release.wait(LONGEST_HOLD)
        return self.answer(asked)


def _serving(server: ModelServer) -> type[BaseHTTPRequestHandler]:
    class Serving(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self._send(server.take(Asked(self.path, headers, json.loads(body))))

        def _send(self, answer: Answered) -> None:
            body = (answer.body if isinstance(answer.body, str) else json.dumps(answer.body)).encode()
            try:
                self.send_response_only(answer.status)
                for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if answer.drop else body)
            except OSError:  # whoever asked has gone
                self.close_connection = True
            self.close_connection |= answer.drop

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Tests are told by assertions."""

    return Serving
