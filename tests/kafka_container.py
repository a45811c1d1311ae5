"""A Kafka for tests in a container, where a Docker engine runs here: the image that docker-compose.yml names."""

import contextlib
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, cast

from deploy.kafka.run import HERE, answers, free_port
from tests.waiting import until

IMAGE = "apache/kafka:4.3.1"
SOCKET = Path("/var/run/docker.sock")
READY_SECONDS = 60.0
CLUSTER = "YW50aXBob24tdGVzdHMtMQ"
# of a broker on loopback; a container has its own
PLACES = ("controller.quorum.bootstrap.servers", "listeners", "advertised.listeners", "log.dirs")


class ContainerUnavailable(Exception):
    """The engine has no such image and cannot get it, or the broker did not come up; the message says which."""


@cache
def engine_answers() -> bool:
    """Whether a Docker engine runs here; one on another machine does not count, since its ports are not ours."""
    named = os.environ.get("DOCKER_HOST", "")
    if not (named.startswith("unix://") or (not named and SOCKET.exists())):
        return False
    from testcontainers.core.docker_client import DockerClient

    try:
        return bool(DockerClient().client.ping())
    except Exception:  # whatever a client stumbles over means: no engine for us
        return False


@contextlib.contextmanager
def container_kafka() -> Iterator[str]:
    """Bootstrap servers of a broker in a container, which is gone when the block ends. Raises ContainerUnavailable."""
    from testcontainers.core.config import testcontainers_config
    from testcontainers.core.container import DockerContainer

    testcontainers_config.ryuk_disabled = True  # it would be one more image; the block removes what it starts
    port = free_port()
    container = DockerContainer(IMAGE, env=_environment(port))
    cast(dict[str, Any], container.ports)["9092/tcp"] = ("127.0.0.1", port)  # with_bind_ports takes every address
    try:
        try:
            container.start()
            until(lambda: answers(port), f"{IMAGE} answers on port {port}", READY_SECONDS)
        except Exception as error:
            raise ContainerUnavailable(f"{IMAGE} does not run here: {error}") from error
        yield f"127.0.0.1:{port}"
    finally:
        container.stop()


def _environment(port: int) -> dict[str, str]:
    """The settings of the broker without Docker, as Kafka's image takes them."""
    lines = (HERE / "server.properties").read_text("utf-8").splitlines()
    settings = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    named = {name.upper().replace(".", "_"): value for name, value in settings.items() if name not in PLACES}
    own = {
        "CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        # the broker writes the ends of transactions to itself: it must reach itself, which it cannot by our port
        "LISTENERS": "PLAINTEXT://:9092,CLUSTER://localhost:19092,CONTROLLER://localhost:9093",
        "ADVERTISED_LISTENERS": f"PLAINTEXT://127.0.0.1:{port},CLUSTER://localhost:19092",
        "LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CLUSTER:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "INTER_BROKER_LISTENER_NAME": "CLUSTER",
        "LOG_DIRS": "/var/lib/kafka/data",
        "HEAP_OPTS": "-Xms256m -Xmx512m",
    }
    return {"CLUSTER_ID": CLUSTER, **{f"KAFKA_{name}": value for name, value in (named | own).items()}}
