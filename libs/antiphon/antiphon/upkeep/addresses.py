"""Where messages and instances belong in the installation that state is moved to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from antiphon.broker import Headers, Record
from antiphon.catalogue import Installation
from antiphon.envelope import Envelope
from antiphon.instances import HISTORY, INSTANCE, PENDING_INPUT
from antiphon.topics import partition_of
from antiphon.workflow.about import read_about
from antiphon.workflow.history import read
from antiphon.workflow.pending import read_pending, read_pending_key
from antiphon.workflow.turns import Input, InputKind

_ASKS, _ANSWER = "ce_replyto", "ce_replytoken"
KeyOf = Callable[[Record], bytes]  # the key that a record has, or is given by its class where it has none


@dataclass(frozen=True, slots=True)
class Addresses:
    """From an installation to another one. `instances` says in which partition of the new one each lives."""

    old: Installation
    new: Installation
    instances: Mapping[str, int]
    key_of: KeyOf

    def topic(self, name: str) -> str:
        """The new name of a topic of the old installation."""
        return self.new.names.prefix + name.removeprefix(self.old.names.prefix)

    def of_key(self, key: bytes) -> int:
        """The new partition of a key."""
        return partition_of(key, self.new.partitions)

    def of_record(self, record: Record) -> int:
        """The new partition of a record on a command topic: that of the instance that it is for, or of its key."""
        headers = dict(record.headers)
        instance = None
        if INSTANCE in headers:
            instance = headers[INSTANCE].decode(errors="replace")
        elif _ANSWER in headers and _ASKS not in headers:
            instance = headers[_ANSWER].partition(b"/")[0].decode(errors="replace")
        if instance is not None:  # one that has ended is late wherever it comes
            return self.instances.get(instance, record.partition)
        return self.of_key(self.key_of(record))

    def headers(self, headers: Iterable[tuple[str, bytes]]) -> Headers:
        """The same with the new reply address, if there is one."""
        found = list(headers)
        token = dict(found).get(_ANSWER, b"")
        return [(name, self._reply_to(value, token) if name == _ASKS else value) for name, value in found]

    def _reply_to(self, address: bytes, token: bytes) -> bytes:
        topic, slash, partition = address.decode(errors="replace").rpartition("/")
        if not slash or not topic.startswith(self.old.names.prefix) or not partition.isdigit():
            return address  # it is refused there as it would have been here
        number = int(partition)
        if self.old.names.is_command_topic(topic):
            number = self.instances.get(token.partition(b"/")[0].decode(errors="replace"), number)
        return f"{self.topic(topic)}/{number}".encode()

    def moved(self, record: Record) -> Record:
        """The record at its new place, with its id in clear: one that it had from its place would be another there."""
        headers = self.headers(record.headers)
        if not any(name == "ce_id" for name, _ in headers):
            headers.append(("ce_id", Envelope(record).id.encode()))
        return record._replace(topic=self.topic(record.topic), partition=self.of_record(record), headers=headers)


def instances_of(entries: Mapping[bytes, bytes], key_of: KeyOf, partitions: int) -> dict[str, int]:
    """The instances of a slice, each in the new partition of the key of the command that began it."""
    found: dict[str, int] = {}
    for key, value in entries.items():
        if key.startswith(HISTORY) and key.endswith(b"/%08d" % 1):
            instance, told = key.split(b"/")[1].decode(), read(value).input
        elif key.startswith(PENDING_INPUT):
            instance, number = read_pending_key(key)
            told = read_pending(number, value).told
        else:
            continue
        if told.kind is InputKind.START:
            found[instance] = partition_of(key_of(begun_by(told)), partitions)
    return found


def begun_by(told: Input) -> Record:
    """The command that began a run, whole."""
    return read_about(told.about)._replace(value=told.payload)
