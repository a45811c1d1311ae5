"""A real Kafka for tests: the one that was named, else a container where an engine runs, else a local JVM."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.kafka.run import Broker, install
from tests.kafka_container import ContainerUnavailable, container_kafka, engine_answers
from tests.waiting import until

NAMED = "KAFKA_BOOTSTRAP_SERVERS"


class LocalKafka:
    """A private broker that a test may stop, kill, freeze and start again; gone, with its JVM, when the block ends.

    It keeps its port and, in `directory`, what it has stored. Use it in the thread in which it was made.
    Raises `BrokerUnavailable` where Java or Maven is missing.
    """

    def __init__(self, directory: Path) -> None:
        self._broker = Broker(directory)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def bootstrap_servers(self) -> str:
        """Host and port for clients."""
        return self._broker.bootstrap_servers

    @property
    def pid(self) -> int:
        """The JVM's process id."""
        return self._broker.pid

    def start(self) -> None:
        """Start it, or start it again after `stop` or `kill`; returns when it answers."""
        self._broker.start()

    def stop(self) -> None:
        """A clean shutdown, as a roll-out does it."""
        self._broker.stop()

    def kill(self) -> None:
        """kill -9, as a crash does it. The next `start` takes three seconds longer: its old session must end."""
        self._broker.kill()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers, as in a network partition; returns once it stands."""
        os.kill(self.pid, signal.SIGSTOP)
        tasks = Path(f"/proc/{self.pid}/task")
        if tasks.exists():
            until(lambda: all(_state(task) == "T" for task in tasks.iterdir()), "every thread of the broker stands")

    def thaw(self) -> None:
        """SIGCONT: the end of `freeze`."""
        os.kill(self.pid, signal.SIGCONT)


def prepare() -> None:
    """Bring what a local broker needs, which may take a minute once; nothing where another one is taken."""
    if NAMED not in os.environ and not engine_answers():
        install()


@contextlib.contextmanager
def shared_kafka(directory: Path) -> Iterator[str]:
    """Bootstrap servers for as long as the block lasts: KAFKA_BOOTSTRAP_SERVERS, a container's, or a local broker's."""
    if named := os.environ.get(NAMED):
        yield named
        return
    with contextlib.ExitStack() as stack:
        try:
            found = stack.enter_context(container_kafka()) if engine_answers() else None
        except ContainerUnavailable as why:
            print(f"{why}; a local broker is started in its place", file=sys.stderr)
            found = None
        yield found or stack.enter_context(LocalKafka(directory)).bootstrap_servers


def _state(task: Path) -> str:
    """R, S, T, … of a thread; T too for one that has just ended."""
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "T"
