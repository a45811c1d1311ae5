"""The services of `journeys.py` on a Kafka: instances are begun, told, looked at."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from antiphon import Command, Event
from antiphon.broker import Outgoing, Partition, ReaderOptions
from antiphon.envelope import Origin, headers
from antiphon.instances import HISTORY, INSTANCE, JOINED, PARKED_INSTANCE, PENDING_INPUT, read_turn_key
from antiphon.lifecycle import CommandSettled
from antiphon.topics import partition_of
from tests.integration.auditor import Auditor
from tests.integration.cluster import PARTITIONS, Cluster, RunningService
from tests.integration.journeys import Did

MODULE = "tests.integration.journeys"
OF_INSTANCES = (HISTORY, JOINED, PARKED_INSTANCE, PENDING_INPUT)


class Begun(NamedTuple):
    """An instance: its id, and the key and correlation id of the command that began it."""

    id: str
    key: str


class Agency:
    """An installation; the test starts its services."""

    def __init__(self, cluster: Cluster, auditor: Auditor) -> None:
        self.cluster, self.auditor = cluster, auditor
        self._state: dict[tuple[int, bytes], bytes] = {}
        partitions = [Partition(cluster.names.state("journeys"), number) for number in range(PARTITIONS)]
        self._reader = cluster.broker.reader(ReaderOptions("agency", prompt=True))
        self._reader.assign(dict.fromkeys(partitions, 0))

    def close(self) -> None:
        """Read no further."""
        self._reader.close()

    def start(self, name: str, replica: str | None = None, **more: Any) -> RunningService:
        """A replica of one of the apps of `journeys.py`."""
        return self.cluster.start(f"{MODULE}:{name}", replica or f"{name}-0", **more)

    def begin(self, *commands: Command[Any]) -> list[Begun]:
        """An instance of each; returns when the commands are stored."""
        found = [Begun(str(uuid4()), f"case-{uuid4().hex[:8]}") for _ in commands]
        self.cluster.send(
            *(self.cluster.record(command, at.key, at.id) for command, at in zip(commands, found, strict=True))
        )
        return found

    def tell(self, instances: Iterable[Begun], event: Event) -> None:
        """A signal, or an order, for each of these."""
        self.cluster.send(*(self._told(instance, event) for instance in instances))

    def order(self, instance: Begun, kind: type[Event], **fields: Any) -> None:
        """Tell one of what people tell instances."""
        self.tell([instance], kind.model_validate({"requested_at": datetime.now(UTC), **fields}))

    def _told(self, instance: Begun, event: Event) -> Outgoing:
        found = headers("tests", type(event).type_name(), str(uuid4()), time.time(), Origin(instance.key))
        found.append((INSTANCE, instance.id.encode()))
        value, key = self.cluster.codec.encode(event), instance.key.encode()
        return Outgoing(self.cluster.names.commands("journeys"), partition_of(key, PARTITIONS), key, value, found)

    # -- looking -------------------------------------------------------------------------------------------------

    def until_ended(self, instances: Iterable[Begun], seconds: float = 60.0) -> list[CommandSettled]:
        """How each of them has ended, which is once."""
        ids = [instance.id for instance in instances]
        missing = set(ids)

        def none_is_missing() -> bool:
            missing.difference_update([id_ for id_ in missing if id_ in self.auditor.settled])
            return not missing

        self.auditor.until(none_is_missing, f"all of {len(ids)} instances have ended", seconds)
        return [self.ended_once(id_) for id_ in ids]

    def ended_once(self, id_: str) -> CommandSettled:
        """Its one end."""
        (end,) = self.auditor.settled[id_]
        return end

    def until_turn(self, instances: Iterable[Begun], turn: int, seconds: float = 60.0) -> None:
        """Each of these has a record of this turn in the state."""
        missing = {instance.id for instance in instances}

        def all_have() -> bool:
            missing.difference_update(id_ for id_, _, number in self.turns() if number >= turn)
            return not missing

        self.auditor.until(all_have, f"turn {turn} of every instance", seconds)

    def state(self) -> set[bytes]:
        """Keys of what the service of the workflows keeps, as far as it can be read now."""
        while records := self._reader.poll(5000, 0.05):
            for record in records:
                assert record.key is not None
                if record.value is None:
                    self._state.pop((record.partition, record.key), None)
                else:
                    self._state[record.partition, record.key] = record.value
        return {key for _, key in self._state}

    def turns(self) -> list[tuple[str, int, int]]:
        """Instance, run and number of every turn in the state."""
        return [read_turn_key(key) for key in self.state() if key.startswith(HISTORY)]

    def parked(self) -> set[str]:
        """Ids of the instances that stand still."""
        return {key.removeprefix(PARKED_INSTANCE).decode() for key in self.state() if key.startswith(PARKED_INSTANCE)}

    def did(self) -> list[str]:
        """Effects, in order of the log by partition; AssertionError if one command has had two."""
        found = self.auditor.events[Did]
        causes = [each.cause for each in found]
        assert sorted(set(causes)) == sorted(causes)
        return [each.event.what for each in found if isinstance(each.event, Did)]

    def expect_nothing_left(self) -> None:
        """Of instances that have ended the state keeps nothing."""
        assert [key for key in self.auditor.state("journeys") if key.startswith(OF_INSTANCES)] == []


@contextmanager
def agency(kafka: str, directory: Path) -> Iterator[Agency]:
    """Topics for the three services, none of which runs yet."""
    apps = [f"{MODULE}:{name}" for name in ("journeys", "desk", "bank")]
    with Cluster(kafka, directory, apps, families=[Did.family]) as cluster, Auditor(cluster, [Did]) as auditor:
        found = Agency(cluster, auditor)
        yield found
        found.close()
