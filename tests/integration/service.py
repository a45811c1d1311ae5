"""One worker of one app until SIGTERM: `python -m tests.integration.service --app accounts --bootstrap HOST:PORT …`.

It exits with 0 after a clean stop. It ends at once when its standard input closes: whoever started it is gone then.
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from antiphon.brokers.kafka import KafkaBroker
from antiphon.brokers.profiles import PROFILES
from antiphon.catalogue import Installation
from antiphon.clocks.system import SystemClock
from antiphon.codecs.avro import AvroCodec
from antiphon.executors.driving import drive
from antiphon.executors.event_loop import LoopExecutor
from antiphon.metrics import NoMetrics
from antiphon.processing.worker import Worker, WorkerOptions, WorkerParts
from antiphon.topics import TopicNames
from antiphon.workflow.host import WorkflowHost
from tests.integration.apps import Journal, app_of
from tests.integration.mortal import MOMENTS, Deaths, MortalBroker

ORPHANED = 3


def main() -> int:
    """Run it; 1 if it did not end cleanly."""
    options = _options()
    logging.basicConfig(
        filename=options.log, level="INFO", format="%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"
    )
    faulthandler.register(signal.SIGUSR1)  # says, in the log, where every thread stands
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    threading.Thread(target=_end_with_starter, daemon=True).start()
    executor, clock = LoopExecutor(), SystemClock()
    parts = WorkerParts(_broker(options), AvroCodec(), clock, executor, NoMetrics(), WorkflowHost)
    installation = Installation(TopicNames(options.prefix), options.partitions)
    app = app_of(options.app, Journal(options.journal))
    worker = Worker(app, parts, installation, WorkerOptions(replica=options.replica))
    return 0 if drive(worker, executor, clock, stop, options.grace) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="One worker of one of the tests' apps.")
    parser.add_argument("--app", required=True, help="one of APPS, or MODULE:MAKER")
    parser.add_argument("--bootstrap", required=True, help="HOST:PORT")
    parser.add_argument("--replica", required=True, help="unique among the replicas that run at the same time")
    parser.add_argument("--prefix", required=True, help="what the names of all topics begin with")
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--grace", type=float, default=20.0, help="seconds for what is in flight when it is to stop")
    parser.add_argument("--profile", choices=sorted(PROFILES), default="kafka")
    parser.add_argument("--deaths", type=Path, help="where it notes the turns of workflows at which it kills itself")
    parser.add_argument("--first", choices=MOMENTS, default="before", help="when, at the first of them, of its commit")
    return parser.parse_args()


def _broker(options: argparse.Namespace) -> KafkaBroker:
    if options.deaths is None:
        return KafkaBroker(PROFILES[options.profile], options.bootstrap)
    return MortalBroker(options.bootstrap, Deaths(options.deaths, options.first))


def _end_with_starter() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(ORPHANED)


if __name__ == "__main__":
    sys.exit(main())
