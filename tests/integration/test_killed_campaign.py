"""A campaign whose service is killed on its way: the mail server sees at most one repeat per kill, under its key."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import pytest

from tests.integration.apps import SendCampaign
from tests.integration.auditor import Auditor
from tests.integration.cluster import Cluster, RunningService, many
from tests.waiting import until

RECIPIENTS = many(40, "person")
BEFORE_THE_ANSWER = (3, 24)  # at which call the service is killed before it hears that the mail was delivered
AFTER_THE_ANSWER = (11, 33)  # … when it has just been told


class MailServer:
    """Delivers what comes under a new idempotency key, and only answers what comes under a known one."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.delivered: dict[str, str] = {}
        self.kill: Callable[[], None] = lambda: None
        self._turn = threading.Lock()

    def take(self, key: str, recipient: str, answer: Callable[[], None]) -> None:
        """One request; `answer` writes the response."""
        with self._turn:
            self.calls[key] += 1
            self.delivered.setdefault(key, recipient)
            number = self.calls.total()
            if number in BEFORE_THE_ANSWER:
                self.kill()
            answer()
            if number in AFTER_THE_ANSWER:
                self.kill()

    @contextmanager
    def served(self) -> Iterator[str]:
        """Its URL, while the block runs."""
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                recipient = self.rfile.read(int(self.headers["Content-Length"])).decode()
                server.take(self.headers["Idempotency-Key"], recipient, self.answer)

            def answer(self) -> None:
                try:
                    self.send_response(200)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                except OSError:
                    self.close_connection = True  # who asked was killed

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                return

        http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_address[1]}/mails"
        finally:
            http.shutdown()
            http.server_close()
            thread.join(10)


@pytest.mark.timeout(240)
@pytest.mark.promise("S0-29", "S0-45")
def test_a_campaign_killed_four_times_delivers_to_everybody_once(kafka: str, tmp_path: Path) -> None:
    mails = MailServer()
    killed = threading.Event()
    with mails.served() as url, Cluster(kafka, tmp_path, ["campaigns"]) as cluster, Auditor(cluster) as auditor:
        service = cluster.start("campaigns", "campaigns-0")
        mails.kill = lambda: _kill(service, killed)
        command = SendCampaign(name="autumn", sink=url, recipients=RECIPIENTS)
        cluster.send(cluster.record(command, command.name, str(uuid4())))
        for _ in (*BEFORE_THE_ANSWER, *AFTER_THE_ANSWER):
            until(killed.is_set, "it is killed", seconds=60)
            killed.clear()
            service.wait()
            service.start()
        auditor.until(lambda: len(auditor.settled) == 1, "the campaign has ended")
    assert sorted(mails.delivered.values()) == sorted(RECIPIENTS)
    repeated = {key: calls for key, calls in mails.calls.items() if calls > 1}
    assert len(BEFORE_THE_ANSWER) <= len(repeated) <= len(BEFORE_THE_ANSWER) + len(AFTER_THE_ANSWER)
    assert set(repeated.values()) == {2}, repeated


def _kill(service: RunningService, killed: threading.Event) -> None:
    service.kill()
    killed.set()
