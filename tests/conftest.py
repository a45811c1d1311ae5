"""Fixtures of every suite: a real Kafka and a real PostgreSQL, resolved once per session."""

import contextlib
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from typer.main import get_command

from deploy.kafka.run import BrokerUnavailable
from tests.kafka import LocalKafka, prepare, shared_kafka
from tests.postgres import PostgresMissing, own_database, shared_postgres

pytest_plugins = ["pytester", "tests.promise_report"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that asks for a broker or a database server, so that `-m "not kafka"` means what it says."""
    for item in items:
        parameters = getattr(getattr(item, "callspec", None), "params", {}).values()
        asked = {*getattr(item, "fixturenames", ()), *(value for value in parameters if isinstance(value, str))}
        if {"kafka", "private_kafka"} & asked:
            item.add_marker("kafka")
        if {"postgres", "postgres_server"} & asked:
            item.add_marker("postgres")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fetch the broker before the first test, whose time limit it would use up; a failure is told by the fixtures."""
    if not session.config.option.collectonly and any(item.get_closest_marker("kafka") for item in session.items):
        with contextlib.suppress(BrokerUnavailable):
            prepare()


@pytest.fixture(scope="session", autouse=True)
def _verbs_are_put_together_once() -> Iterator[None]:
    """typer's runner makes the whole tree of commands anew for every run, which takes longer than most verbs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("typer.testing._get_command", cache(get_command))
        yield


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap servers of a real Kafka that all tests share: give topics and groups names of your own."""
    with _skipped_without_broker(), shared_kafka(tmp_path_factory.mktemp("kafka")) as bootstrap_servers:
        yield bootstrap_servers


@pytest.fixture
def private_kafka(tmp_path: Path) -> Iterator[LocalKafka]:
    """A broker of the test's own, to be killed and frozen."""
    with _skipped_without_broker(), LocalKafka(tmp_path / "kafka") as broker:
        yield broker


@contextlib.contextmanager
def _skipped_without_broker() -> Iterator[None]:
    try:
        yield
    except BrokerUnavailable as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must test with a real Kafka: {missing}", pytrace=False)
        pytest.skip(f"no Kafka: {missing}, or set KAFKA_BOOTSTRAP_SERVERS")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a real PostgreSQL that all tests share, on which databases may be made."""
    try:
        with shared_postgres() as url:
            yield url
    except PostgresMissing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must test with a real PostgreSQL: {missing}", pytrace=False)
        pytest.skip(f"no PostgreSQL: {missing}, or set ANTIPHON_TEST_POSTGRES_URL")


@pytest.fixture
def postgres(postgres_server: str) -> Iterator[str]:
    """The URL of an empty PostgreSQL database of the test's own."""
    with own_database(postgres_server) as url:
        yield url
