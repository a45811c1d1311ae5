"""A counting service whose state is lost and brought back, on the embedded broker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from antiphon.broker import Outgoing, Partition
from antiphon.processing.state import IMPORTED
from antiphon.processing.worker import Worker
from antiphon.upkeep.exporting import Subject
from antiphon.upkeep.owner import Owner
from tests.processing.messages import Count, counting, totals
from tests.processing.world import World

Entries = dict[int, dict[bytes, bytes]]


class Stand:
    """A world with one service, `counting`, on four slices."""

    def __init__(self, folder: Path) -> None:
        self.app = counting()
        self.world = World(self.app)
        self.subject = Subject(self.world.broker, "counting", self.world.installation)
        self.file = folder / "counting.state"

    def start(self) -> Worker:
        """A worker, which has not turned yet."""
        return self.world.worker(self.app)

    def stop(self) -> None:
        """Every worker leaves as it should."""
        for worker in self.world.workers:
            worker.drain()
            self.world.turn(5)
            worker.close(1)
        self.world.workers = []

    def count(self, *names: str, id_: str | None = None) -> None:
        """Count each of these once; returns when that is settled."""
        more = {} if id_ is None else {"ce_id": id_}
        before = len(self.world.settled())
        self.world.send(*[self.world.record(Count(name=name), **more) for name in names])
        self.world.until(lambda: len(self.world.settled()) == before + len(names), "they are settled")

    def lose_the_state(self) -> None:
        """Somebody deletes the state topic, and it is made again."""
        admin = self.world.broker.admin()
        admin.delete_topics([self.subject.state])
        admin.create_topics([plan for plan in self.world.catalogue.plans() if plan.name == self.subject.state])

    def entries(self) -> Entries:
        """What each slice holds, but for the note of an import."""
        return {
            number: {key: value for key, value in self.subject.read(number).entries.items() if key != IMPORTED}
            for number in range(4)
        }

    def refusal(self) -> str:
        """Why a worker that is started now does not serve; it is closed again."""
        worker = self.start()
        self.world.until(lambda: worker.failure is not None, "the worker refuses")
        assert not worker.serving
        failure = worker.failure
        self.world.workers.remove(worker)
        worker.close(1)
        return failure or ""

    def totals(self) -> list[int]:
        """What was counted, over all names."""
        return sorted(totals(self.world))

    def end_sessions(self) -> None:
        """Who was killed is out of the group."""
        self.world.clock.advance(60)

    def cut(self, number: int, by: int) -> None:
        """The slice's state loses what a broker kept last: it ends where it was `by` records ago."""
        topic = Partition(self.subject.state, number)
        records = [record for record in self.world.read(topic.topic) if record.partition == number]
        plans = [plan for plan in self.world.catalogue.plans() if plan.name == topic.topic]
        others = [record for record in self.world.read(topic.topic) if record.partition != number]
        admin = self.world.broker.admin()
        admin.delete_topics([topic.topic])
        admin.create_topics(plans)
        kept = [*others, *records[: len(records) - by]]
        self.world.send(*[Outgoing(r.topic, r.partition, r.key, r.value, r.headers) for r in kept])


class Killed(BaseException):
    """The process is gone."""


class Deaths:
    """Kills whoever writes as an owner, before or after its write of this number; nothing of it is tidied up."""

    def __init__(self, at: int, *, after: bool) -> None:
        self.left, self._after = at, after
        self._dead = False
        self._write, self._close = Owner.write, Owner.close

    def strike(self, patch: pytest.MonkeyPatch) -> None:
        """From now on."""

        def write(owner: Owner, number: int, offset: int, records: Sequence[Outgoing]) -> None:
            if self.left == 0 and not self._after:
                self._die()
            self._write(owner, number, offset, records)
            if self.left == 0:
                self._die()
            self.left -= 1

        patch.setattr(Owner, "write", write)
        patch.setattr(Owner, "close", lambda owner: None if self._dead else self._close(owner))

    def _die(self) -> None:
        self._dead = True
        raise Killed
