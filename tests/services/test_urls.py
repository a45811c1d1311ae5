"""URLs that commands name: only listed ones are read, wherever they point, redirect or resolve to."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import cast

import pytest

from antiphon import Context, Permanent, Retryable
from antiphon.errors import ConfigurationError
from antiphon.settings import read_settings
from services.messages.processors import GenerateReport, ReportGenerated
from services.processors import urls
from services.processors.app import generate_report
from services.processors.urls import Address, Urls, resolved

NO_CONTEXT = cast(Context, None)  # the handler needs none
Answer = tuple[int, dict[str, str], bytes]
CSV = {"Content-Type": "text/csv; charset=utf-8"}
JSON = {"Content-Type": "application/json"}


class Site:
    """A real HTTP server on loopback with the answers that a test gives it; `asked` is what it was asked for."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, str]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append((self.headers["Host"], self.path))
                status, headers, body = site.answers.get(self.path, (404, {}, b""))
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(OSError):  # whoever asked has had enough
                    self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.close()


@pytest.mark.promise("S0-24")
def test_csv_and_json_are_read_as_tables(site: Site) -> None:
    site.answers = {
        "/data/a.csv": (200, CSV, b"\xef\xbb\xbfname,n\r\nx,1\r\ny,\r\n"),
        "/data/b": (200, JSON, b'{"rows": [{"name": "x", "n": 1}, {"name": "y"}]}'),
        "/data/c?of=1": (200, {}, b'[{"name": "x", "n": 1}, {"name": "y"}]'),
    }
    allowed = Urls.listed(f"{site.url}/data/")
    for path in site.answers:
        assert allowed.table(site.url + path).rows == [{"name": "x", "n": 1}, {"name": "y", "n": None}]


@pytest.mark.promise("S0-24", "S0-30")
def test_a_report_is_written_from_a_listed_url_and_from_no_other(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTIPHON_URL_SOURCES", f"{site.url}/open/")
    site.answers = {"/open/a.csv": (200, CSV, b"n\n1\n2\n"), "/closed/a.csv": (200, CSV, b"n\n3\n")}

    def written(path: str) -> ReportGenerated:
        source = {"data_source": {"url": site.url + path}, "format": "csv"}
        return generate_report(GenerateReport.model_validate(source), NO_CONTEXT)

    assert written("/open/a.csv").content == "n\r\n1\r\n2\r\n"
    with pytest.raises(Permanent, match="is not below"):
        written("/closed/a.csv")


@pytest.mark.parametrize(
    "url",
    [
        "https://data.example.org/private/x", "https://data.example.org/publications", "http://data.example.org/public/x",
        "https://data.example.org:444/public/x", "https://data.example.org.evil.org/public/x",
        "https://data.example.org/public/../private/x", "https://data.example.org/public/%2e%2e/private",
        "https://data.example.org/public/..%2fprivate", "https://data.example.org/public/..\\private",
        "https://evil.org/https://data.example.org/public/x", "https://data.example.or\u212a/public/x", "https://data.example.org@evil.org/public/x",
        "https://me:secret@data.example.org/public/x", "file:///etc/hostname", "ftp://data.example.org/public/x",
        "//data.example.org/public/x", "", "https://", "https://data.example.org:x/public/", "https://[::1/public/",
    ],
)  # fmt: skip
def test_what_is_not_below_the_list_is_refused_before_anything_is_asked(url: str) -> None:
    asked: list[str] = []

    def nowhere(host: str, port: int) -> list[Address]:
        asked.append(host)
        raise Retryable("nothing is asked in this test")

    allowed = Urls.listed("https://data.example.org/public/")
    watched = Urls(allowed.prefixes, allowed.networks, nowhere)
    with pytest.raises(Permanent, match=r"is not below https://data.example.org/public/|is no URL|with a user"):
        watched.table(url)
    assert asked == []


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "::1", "fe80::1", "fd00::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::",
    ],
)  # fmt: skip
def test_a_private_address_is_refused_unless_its_network_is_listed(address: str) -> None:
    listed = Urls.listed("https://data.example.org/")
    parts = listed.check("https://data.example.org/x")
    found = Urls(listed.prefixes, (), lambda host, port: [ip_address("93.184.216.34"), ip_address(address)])
    with pytest.raises(Permanent, match=f"private address {ip_address(address)}: list its network"):
        found.address(parts)
    own = Urls.listed(f"https://data.example.org/,{address}")
    allowed = Urls(own.prefixes, own.networks, lambda host, port: [ip_address(address)])
    assert allowed.address(parts) == ip_address(address)


def test_the_connection_goes_to_the_address_that_was_checked(site: Site) -> None:
    """The name has no address but the one that it was given here, once; the server is still told the name."""
    site.answers["/x.csv"] = (200, CSV, b"a\n1\n")
    asked: list[str] = []

    def once(host: str, port: int) -> list[Address]:
        asked.append(host)
        return [ip_address("127.0.0.1")]

    listed = Urls.listed(f"http://data.invalid:{site.port}/,127.0.0.0/8")
    allowed = Urls(listed.prefixes, listed.networks, once)
    assert allowed.table(f"http://data.invalid:{site.port}/x.csv").rows == [{"a": 1}]
    assert asked == ["data.invalid"]
    assert site.asked == [(f"data.invalid:{site.port}", "/x.csv")]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl, which makes the certificate")
@pytest.mark.parametrize(("name", "good"), [("data.invalid", True), ("other.invalid", False)])
def test_a_certificate_is_for_the_name_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, good: bool
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    made += ["-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True, timeout=30)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    site = Site(tls)
    try:
        site.answers["/x"] = (200, CSV, b"a\n1\n")
        listed = Urls.listed(f"https://data.invalid:{site.port}/,127.0.0.0/8")
        allowed = Urls(listed.prefixes, listed.networks, lambda host, port: [ip_address("127.0.0.1")])
        if good:
            assert allowed.table(f"https://data.invalid:{site.port}/x").rows == [{"a": 1}]
        else:
            with pytest.raises(Retryable, match=r"was not read: .*[Cc]ertificate"):
                allowed.table(f"https://data.invalid:{site.port}/x")
    finally:
        site.close()


def test_a_redirect_is_followed_within_the_list_and_refused_out_of_it(site: Site) -> None:
    site.answers = {
        "/open/old": (302, {"Location": "new"}, b""),
        "/open/new": (200, CSV, b"a\n1\n"),
        "/open/out": (302, {"Location": "/closed/x"}, b""),
        "/open/away": (302, {"Location": "http://169.254.169.254/latest"}, b""),
        "/open/round": (302, {"Location": "/open/round"}, b""),
    }
    allowed = Urls.listed(f"{site.url}/open/")
    assert allowed.table(f"{site.url}/open/old").rows == [{"a": 1}]
    for path in ("out", "away"):
        with pytest.raises(Permanent, match="is not below"):
            allowed.table(f"{site.url}/open/{path}")
    with pytest.raises(Permanent, match="more than 3 other addresses"):
        allowed.table(f"{site.url}/open/round")
    assert not any(path.startswith("/closed") for _, path in site.asked)


def test_a_large_answer_is_not_read_to_its_end(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urls, "LARGEST", 1_000)
    site.answers["/x"] = (200, CSV, b"a\n" + b"1\n" * 600)
    with pytest.raises(Permanent, match="more than 1,000 bytes"):
        Urls.listed(site.url).table(f"{site.url}/x")


def test_an_answer_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only its body: a header that comes letter by letter keeps every time-out of single reads."""
    monkeypatch.setattr(urls, "WHOLE", 0.5)
    stop = threading.Event()

    def drip() -> None:
        connection, _ = listening.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            while not stop.wait(0.05):
                connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=drip)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/x"
        try:
            with pytest.raises(Retryable, match=r"was not read within 0\.5 s"):
                Urls.listed(url).table(url)
        finally:
            stop.set()
            thread.join(10)


@pytest.mark.parametrize(
    ("answer", "error", "told"),
    [
        ((500, {}, b""), Retryable, "answers 500"),
        ((429, {}, b""), Retryable, "answers 429"),
        ((403, {}, b""), Permanent, "answers 403"),
        ((200, JSON, b"{"), Permanent, "neither CSV nor JSON"),
        ((200, JSON, b'[{"a": "\\ud800"}]'), Permanent, "neither CSV nor JSON"),
        ((200, JSON, b"[1]"), Permanent, "holds no rows"),
        ((200, CSV, b"\xff\n"), Permanent, "neither CSV nor JSON"),
        ((200, CSV, b"a,a\n1,2\n"), Permanent, "a name of its own for every column"),
        ((200, CSV | {"Content-Encoding": "gzip"}, b"x"), Permanent, "in gzip, which was not asked for"),
        ((200, CSV | {"Content-Length": "99"}, b"a\n"), Retryable, "was not read"),
    ],
)
def test_every_fault_has_an_error_of_its_own(site: Site, answer: Answer, error: type[Exception], told: str) -> None:
    site.answers["/x"] = answer
    with pytest.raises(error, match=told):
        Urls.listed(site.url).table(f"{site.url}/x")


def test_a_site_that_is_away_is_tried_again(site: Site) -> None:
    site.close()
    with pytest.raises(Retryable, match="was not read"):
        Urls.listed(site.url).table(f"{site.url}/x")
    with pytest.raises(Retryable, match=r"'nowhere.invalid' has no address"):
        resolved("nowhere.invalid", 80)


def test_a_proxy_of_the_environment_is_not_asked(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    site.answers["/x"] = (200, CSV, b"a\n1\n")
    assert Urls.listed(site.url).table(f"{site.url}/x").rows == [{"a": 1}]


@pytest.mark.parametrize(
    "sources",
    [
        "data.example.org",
        "https://",
        "ftp://x/",
        "https://me@x/",
        "https://x/?a",
        "10.0.0.1/8",
        "https://x/ü",
        "https://x:99999/",
        "https://[::1/",
    ],
)
def test_a_list_that_is_none_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch, sources: str) -> None:
    monkeypatch.setenv("ANTIPHON_URL_SOURCES", f"https://data.example.org/public/, {sources}")
    with pytest.raises(ConfigurationError, match="ANTIPHON_URL_SOURCES"):
        read_settings()
