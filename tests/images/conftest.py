"""The engine, and what is built on it once for all tests of images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.images import standins
from tests.images.composed import Composed
from tests.images.engine import Engine, EngineUnavailable

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "images"
PRODUCTION = "antiphon:local"
DEVELOPMENT = "antiphon:development"
REVISION = "0123abcd"
LIMIT = 900  # seconds: the first test waits for what is built


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What lies here wants an engine, and `make images` asks for that."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("images")
            item.add_marker(pytest.mark.timeout(LIMIT))


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """A Docker engine of the tests' own, with a small Debian and Python."""
    try:
        with Engine(BUILD) as started:
            standins.debian(started, BUILD)
            yield started
    except EngineUnavailable as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must test with a real Docker engine: {missing}", pytrace=False)
        pytest.skip(f"no Docker engine: {missing}")


def build(engine: Engine, target: str, tag: str) -> str:
    """Build a target of the project's Dockerfile as it is written; its tag."""
    words = ("--file", "deploy/image/Dockerfile", "--target", target, "--build-arg", f"REVISION={REVISION}")
    engine.docker("build", "--network", "host", *words, "--tag", tag, str(ROOT), seconds=600)
    return tag


@pytest.fixture(scope="session")
def production(engine: Engine) -> str:
    """The image that is shipped."""
    return build(engine, "production", PRODUCTION)


@pytest.fixture(scope="session")
def development(engine: Engine) -> str:
    """The image to work with."""
    return build(engine, "development", DEVELOPMENT)


@pytest.fixture(scope="session")
def kafka_image(engine: Engine) -> str:
    """What compose takes for Kafka."""
    standins.kafka(engine)
    return standins.KAFKA


@pytest.fixture(scope="session")
def postgres_image(engine: Engine) -> str:
    """What compose takes for PostgreSQL."""
    standins.postgres(engine)
    return standins.POSTGRES


@pytest.fixture(scope="session")
def prometheus_image(engine: Engine) -> str:
    """What compose takes for Prometheus."""
    standins.prometheus(engine)
    return standins.PROMETHEUS


@pytest.fixture(scope="session")
def platform(engine: Engine, production: str, kafka_image: str, postgres_image: str) -> Iterator[Composed]:
    """What `docker compose up` starts."""
    with Composed(engine, "antiphon-compose") as composed:
        yield composed
