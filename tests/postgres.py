"""A real PostgreSQL for tests: the one that was named, else a private server from Debian's binaries."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypedDict
from uuid import uuid4

import psycopg
from sqlalchemy.engine import make_url

from deploy.kafka.run import free_port
from tests.waiting import until

NAMED = "ANTIPHON_TEST_POSTGRES_URL"
BINARIES = Path("/usr/lib/postgresql")
# only tests lose what it loses
SETTINGS = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "unix_socket_directories": ""}


class PostgresMissing(Exception):
    """There is no server, and nothing to start one from."""


class _Account(TypedDict, total=False):
    user: int
    group: int
    extra_groups: Sequence[int]


@contextlib.contextmanager
def shared_postgres() -> Iterator[str]:
    """The URL of a server for as long as the block lasts: that of ANTIPHON_TEST_POSTGRES_URL, else a private one's."""
    if named := os.environ.get(NAMED):
        yield named
        return
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="antiphon-postgres-"))  # not below pytest's, which is ours alone
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        yield stack.enter_context(_private(_binaries(), folder))


@contextlib.contextmanager
def own_database(server: str) -> Iterator[str]:
    """The URL of an empty database on this server, dropped when the block ends."""
    name = f"antiphon_{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
        try:
            yield make_url(server).set(database=name).render_as_string(hide_password=False)
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def _binaries() -> Path:
    """The folder with the newest server's programs."""
    found = [path.parent for path in BINARIES.glob("*/bin/initdb") if path.parent.parent.name.isdigit()]
    if found:
        return max(found, key=lambda folder: int(folder.parent.name))
    if initdb := shutil.which("initdb"):
        return Path(initdb).parent
    raise PostgresMissing(f"no initdb in {BINARIES} or on the PATH: install postgresql")


@contextlib.contextmanager
def _private(binaries: Path, folder: Path) -> Iterator[str]:
    account = _account(folder)
    store, port = folder / "data", free_port()
    new = [
        str(binaries / "initdb"),
        "-D",
        str(store),
        "-U",
        "postgres",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--locale=C",
        "--no-sync",
    ]
    made = subprocess.run(new, cwd=folder, capture_output=True, text=True, timeout=50, **account)
    if made.returncode:
        raise PostgresMissing(f"initdb failed: {made.stderr.strip()[-500:]}")
    settings = {**SETTINGS, "listen_addresses": "127.0.0.1", "port": str(port)}
    options = [text for name, value in settings.items() for text in ("-c", f"{name}={value}")]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [*_ended_with_us(), str(binaries / "postgres"), "-D", str(store), *options],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            **account,
        )
    url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    try:
        until(lambda: _answers(url, server, folder / "log"), "PostgreSQL answers", 30)
        yield url
    finally:
        server.send_signal(signal.SIGINT)  # a fast shutdown: clients are cut off
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(10)
        server.kill()
        server.wait(10)


def _account(folder: Path) -> _Account:
    """PostgreSQL refuses to run as root: another account gets the folder and the server."""
    if os.getuid() != 0:
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = names.get("postgres") or names["nobody"]
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _answers(url: str, server: "subprocess.Popen[bytes]", log: Path) -> bool:
    if server.poll() is not None:
        raise AssertionError(f"PostgreSQL has ended at once: {log.read_text(errors='replace')[-500:]}")
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _ended_with_us() -> list[str]:
    """What starts it so that the kernel shuts it down at once should the tests be killed."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "QUIT", "--"] if setpriv else []
