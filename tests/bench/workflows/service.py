"""A measured service as a process: `python -m tests.bench.workflows.service APP BOOTSTRAP PREFIX PARTITIONS`.

It answers each line on its standard input with what it has used so far, as JSON, stops cleanly at SIGTERM, and ends
when its input closes.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time

from antiphon.bootstrap import RunningWorker, begin_process, kafka, until_signalled, worker
from antiphon.settings import read_settings
from antiphon.telemetry.prometheus import PrometheusMetrics
from tests.bench.peers.driving import resident_bytes
from tests.bench.workflows import apps


def main() -> int:
    """Serve until whoever started it is done, or gone."""
    app, bootstrap_servers, prefix, partitions = sys.argv[1:]
    settings = read_settings(
        bootstrap_servers=bootstrap_servers, prefix=prefix, partitions=int(partitions), log_level="WARNING"
    )
    begin_process(settings)
    stop = until_signalled()
    running = worker(getattr(apps, app), kafka(settings), settings, PrometheusMetrics())
    threading.Thread(target=_tell, args=(running,), name="starter", daemon=True).start()
    return 0 if running.run(stop) else 1


def _tell(running: RunningWorker) -> None:
    for _ in sys.stdin:
        used = {"ready": running.worker.ready, "cpu": time.process_time(), "memory": resident_bytes()}
        print(json.dumps(used), flush=True)
    os._exit(0)  # nothing that this process still holds is needed; its topics are deleted


if __name__ == "__main__":
    sys.exit(main())
