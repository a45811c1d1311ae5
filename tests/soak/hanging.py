"""Transactions that the cluster itself does not end: asked of Kafka's own tool, since no client library can."""

from __future__ import annotations

import subprocess

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
        return [f"kafka-transactions could not be asked: {done.stderr[-300:]}"]
    return [" ".join(line.split()) for line in done.stdout.splitlines()[1:] if line.strip()]
