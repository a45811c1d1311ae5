"""Message queue: work is put down once, and one of several workers takes it.

A command that nobody waits for is a job in a queue. All replicas of a service are one consumer group: each owns some
partitions of the command topic, so every job is done by one of them, and adding replicas adds hands. A job that fails
is tried again by its `retry`; what is left of it after that is a dead letter. Whoever submits needs to know neither
how many workers there are nor whether any of them is up: the log keeps the jobs.

Here two replicas print twelve labels. Run it: python libs/antiphon/examples/message_queue.py
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from queue import Queue
from tempfile import TemporaryDirectory

from antiphon import App, Command, Context, Retry, Retryable
from antiphon.bootstrap import RunningWorker, worker
from antiphon.embedded import Embedded
from antiphon.settings import read_settings

JOBS = 12


class PrintLabel(Command, service="printing"):
    """A job: nothing comes back."""

    number: int


def replica(name: str, finished: Queue[tuple[int, str]]) -> App:
    """One replica of the printing service; `finished` is where this program sees what it has done."""
    app = App("printing")

    @app.command(retry=Retry("50ms"))
    def print_label(command: PrintLabel, ctx: Context) -> None:
        if command.number == 7 and ctx.attempt == 1:
            raise Retryable("the paper has jammed")
        finished.put((command.number, name))

    return app


async def both_serve(replicas: list[RunningWorker]) -> None:
    """Wait until the partitions are shared out."""
    async with asyncio.timeout(20):
        while not all(running.worker.serving for running in replicas):
            await asyncio.sleep(0.02)


async def submit(platform: Embedded) -> None:
    async with platform.client() as client:
        for number in range(1, JOBS + 1):
            await client.submit(PrintLabel(number=number))
    print(f"{JOBS} jobs are in the queue")


def main() -> None:
    finished: Queue[tuple[int, str]] = Queue()
    with TemporaryDirectory() as folder:
        settings = read_settings(database_url=f"sqlite:///{folder}/status.sqlite3", partitions=8)
        with Embedded([replica("left", finished)], settings) as platform:
            own = settings.model_copy(update={"replica": "right"})  # two of one name would fence each other
            second = worker(replica("right", finished), platform.broker, own, platform.metrics)
            stop = threading.Event()
            thread = threading.Thread(target=second.run, args=(stop,))
            thread.start()
            asyncio.run(both_serve([*platform.workers, second]))
            asyncio.run(submit(platform))
            done = [finished.get(timeout=20) for _ in range(JOBS)]
            stop.set()
            thread.join()
    for name, count in sorted(Counter(name for _, name in done).items()):
        print(f"the {name} replica did {count} of them")
    print(f"each job was done once: {sorted(number for number, _ in done) == list(range(1, JOBS + 1))}")


if __name__ == "__main__":
    main()
