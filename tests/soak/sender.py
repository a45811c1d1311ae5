"""The load, as a process: our client, and a foreign producer beside it.

Lines on standard input steer it: `surge 200`, `hold`, `go`, `stop`. In `--accepted` it writes a line for every command
that the cluster has acknowledged: `id ID`, or `at PARTITION OFFSET` for one whose sender knows no id. At `stop` it
waits for what is under way and prints as JSON what its senders have counted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import random
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import TextIO

from antiphon.catalogue import Catalogue, Installation
from antiphon.clients.correlation import ClientParts
from antiphon.clients.kafka import KafkaClient, KafkaClientOptions
from antiphon.clocks.system import SystemClock
from antiphon.codecs.avro import AvroCodec
from antiphon.topics import TopicNames
from tests.integration.apps import Journal
from tests.soak.apps import orders, payments
from tests.soak.foreign import ForeignSender
from tests.soak.own import OwnSender

TICK = 0.05  # seconds
FOREIGN = 0.3  # of all commands
ORPHANED = 3


class Steering:
    """What standard input has said."""

    def __init__(self) -> None:
        self.surge = 0
        self.held = False
        self.stop = False

    def follow(self, lines: TextIO) -> None:
        """Take orders until there are no more; without a `stop` whoever gave them is gone, and so are we."""
        for line in lines:
            word, _, number = line.strip().partition(" ")
            self.surge += int(number or 0)
            self.held = {"hold": True, "go": False}.get(word, self.held)
            self.stop = self.stop or word == "stop"
        if not self.stop:
            os._exit(ORPHANED)


async def send(options: argparse.Namespace, steering: Steering, accepted: TextIO) -> Counter[str]:
    """Send until told to stop; what was sent, acknowledged and answered."""
    installation = Installation(TopicNames(options.prefix), options.partitions)
    journal = Journal(Path(os.devnull))
    catalogue = Catalogue([orders(journal), payments(journal)], installation)
    counts: Counter[str] = Counter()
    foreign = ForeignSender(options, random.Random(options.seed), accepted, counts)
    parts = ClientParts(catalogue, AvroCodec(), SystemClock())
    async with KafkaClient(parts, KafkaClientOptions(options.bootstrap, "soak")) as client:
        own = OwnSender(client, random.Random(options.seed + 1), accepted, counts, foreign.cancel)
        dice, due = random.Random(options.seed + 2), 0.0
        while not steering.stop:
            due += 0 if steering.held else options.rate * TICK
            surge, steering.surge = steering.surge, 0
            for _ in range(surge + int(due)):
                (foreign if dice.random() < FOREIGN else own).send()
            due -= int(due)
            own.expect_well()
            foreign.poll()
            accepted.flush()
            await asyncio.sleep(TICK)
        await own.finish()
        await asyncio.to_thread(foreign.finish)
        await own.finish_off(options.partitions)
    return counts


def main() -> int:
    """Send, print."""
    options = _options()
    logging.basicConfig(filename=options.log, level="WARNING", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    steering = Steering()
    threading.Thread(target=steering.follow, args=(sys.stdin,), daemon=True).start()
    with options.accepted.open("w") as accepted:
        counts = asyncio.run(send(options, steering, accepted))
    json.dump(counts, sys.stdout)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Commands for the soak, at a steady rate.")
    parser.add_argument("--bootstrap", required=True, help="HOST:PORT")
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True, help="commands a second")
    parser.add_argument("--accepted", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
