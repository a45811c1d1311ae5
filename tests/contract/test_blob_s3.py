"""A bucket keeps the contract of a blob store: against a server of its own process that speaks the S3 API."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import obstore
import pytest

from antiphon.blobs.s3 import Bucket, S3Blobs
from antiphon.clocks.virtual import VirtualClock
from antiphon.testing.contracts.blob import BlobContract

SERVER = """
import logging, sys
from threading import Thread
from urllib.request import Request, urlopen
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
logging.getLogger("werkzeug").setLevel("ERROR")
# one request at a time: the server loses two that write the same object at once
server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=False)
Thread(target=server.serve_forever, daemon=True).start()
url = "http://127.0.0.1:%d" % server.server_port
urlopen(Request(url + "/blobs", method="PUT")).read()
print(url, flush=True)
sys.stdin.read()
"""
_NUMBERS = count(1)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The URL of a server with a bucket `blobs`; it ends with its standard input."""
    with subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().decode().strip()
        finally:
            server.kill()


@pytest.mark.timeout(60)
class TestS3Blobs(BlobContract):
    @pytest.fixture(autouse=True)
    def bucket(self, endpoint: str) -> None:
        self.where = Bucket("blobs", f"test-{next(_NUMBERS)}/large", endpoint, key="test", secret="test", patience=2.0)

    def make_blobs(self, clock: VirtualClock) -> S3Blobs:
        return S3Blobs(self.where, clock)

    def damage(self, reference: str) -> None:
        obstore.put(S3Blobs(self.where, VirtualClock()).store, reference, b"other")

    def unreachable(self, clock: VirtualClock) -> S3Blobs:
        return S3Blobs(replace(self.where, endpoint="http://127.0.0.1:9"), clock)

    def test_a_bucket_that_is_not_there_is_told(self, clock: VirtualClock) -> None:
        missing = S3Blobs(replace(self.where, name="nowhere"), clock)
        with pytest.raises(Exception, match="in bucket nowhere"):
            missing.put(b"one")
        with pytest.raises(Exception, match="in bucket nowhere"):
            list(missing.older_than(clock.now()))
