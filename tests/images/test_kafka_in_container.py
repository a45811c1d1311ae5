"""The rung of the Kafka fixture that takes a container: testcontainers against the engine, a real broker in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.images.engine import Engine

ROOT = Path(__file__).resolve().parents[2]
TESTS = (
    "tests/integration/test_local_kafka.py::test_a_message_goes_through_the_shared_broker",
    "tests/contract/test_client_kafka.py::TestKafkaClient::test_an_aborted_answer_is_never_seen",
)


def test_tests_find_their_kafka_in_a_container_where_an_engine_runs(
    engine: Engine, kafka_image: str, tmp_path: Path
) -> None:
    """Without Java on the PATH no other broker can be had, and with CI=true none is a failure."""
    for program in ("env", "setpriv"):
        (tmp_path / program).symlink_to(f"/usr/bin/{program}")
    inherited = {name: text for name, text in os.environ.items() if name != "KAFKA_BOOTSTRAP_SERVERS"}
    environment = {**inherited, "PATH": str(tmp_path), "DOCKER_HOST": engine.host, "CI": "true"}
    before = engine.docker("ps", "--quiet").stdout
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", *TESTS],
        env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4_000:]
    assert "2 passed" in done.stdout
    assert engine.docker("ps", "--quiet").stdout == before  # gone with its block
