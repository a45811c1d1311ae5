"""Transactions that the cluster itself does not end: asked of Kafka's own tool, since no client library can."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from deploy.kafka.run import java

TOOL = ("org.apache.kafka.tools.TransactionsCommand", "-Xmx128m", "-XX:TieredStopAtLevel=1")
OLDER = 1  # minutes: every time-out is shorter


def hanging_transactions(bootstrap_servers: str) -> list[str]:
    """One line for each partition on which a transaction is open that its coordinator does not know, as the tool says.

    Empty where there is none: what is open then is open by a client.
    """
    asked = ["--bootstrap-server", bootstrap_servers, "find-hanging", "--broker-id", "1"]
    command = java(TOOL, [*asked, "--max-transaction-timeout", str(OLDER)], record=False)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise AssertionError(f"kafka-transactions could not be asked: {done.stderr[-300:]}")
    return [" ".join(line.split()) for line in done.stdout.splitlines()[1:] if line.strip()]


@contextmanager
def unless_kafka_hangs(bootstrap_servers: str) -> Iterator[None]:
    """Where a block fails because the killed broker has left a transaction open that its coordinator has ended, the
    test proves nothing about us and is skipped, loudly.

    Kafka 4.3.1 on one node does that now and then: it takes a transaction up again before its partitions have leaders,
    and drops their markers. Nobody can read on there, whoever the reader is.
    """
    try:
        yield
    except AssertionError as error:
        hanging = hanging_transactions(bootstrap_servers)
        if not hanging:
            raise
        pytest.skip(
            f"Kafka left a transaction open that it had ended, after it was killed: {hanging[0]} ({error!s:.200})"
        )
