"""The owner of all slices of a service while its workers are away; what it writes is fenced as their commits are."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from antiphon.broker import Broker, MemberOptions, Outgoing, Partition, Producer
from antiphon.catalogue import Installation
from antiphon.errors import BrokerUnavailable, ConfigurationError, MembershipChanged, TransactionAborted

_CALL = 5.0  # seconds that one call to the cluster may take
_AT_ONCE = 1_000  # records of one transaction
_BYTES = 4_000_000  # … and their keys and values


@dataclass(frozen=True, slots=True)
class OwnerOptions:
    """`patience`: for how many seconds the group may keep slices from us; those of a killed worker are its own until
    its session has ended."""

    patience: float = 60.0
    name: str = "upkeep"


class Owner:
    """Joins the group of a service as its only member; a context manager.

    ConfigurationError if the service runs. A worker that starts meanwhile takes the slices, and then every write is
    refused (MembershipChanged): nothing that it does not know of is ever committed.
    """

    def __init__(
        self, broker: Broker, service: str, installation: Installation, options: OwnerOptions = OwnerOptions()
    ) -> None:
        names = installation.names
        self._broker, self._options = broker, options
        self.group, self.commands, self.state = names.group(service), names.commands(service), names.state(service)
        self._count = installation.partitions
        self._owned: set[int] = set()
        self._producer: Producer | None = None
        refuse_while_used(broker, service, self.group)
        self._member = broker.member(MemberOptions(self.group, self.commands, self))

    def __enter__(self) -> Self:
        try:
            self._await(lambda: len(self._owned) == self._count)
            self._producer = self._broker.producer(f"{self.group}/{self._options.name}")
            self._producer.begin()
            self._producer.abort(_CALL)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Leave the group."""
        if self._producer is not None:
            self._producer.close()
        self._member.close()

    # -- the group ---------------------------------------------------------------------------------------------------

    def assigned(self, partitions: Collection[int]) -> None:
        self._owned.update(partitions)

    def revoked(self, partitions: Collection[int]) -> None:
        self._owned.difference_update(partitions)

    def lost(self, partitions: Collection[int]) -> None:
        self._owned.difference_update(partitions)

    def _await(self, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + self._options.patience
        while not condition():
            if time.monotonic() > until:
                raise ConfigurationError(
                    [
                        f"the group {self.group} gives {len(self._owned)} of {self._count} slices after "
                        f"{self._options.patience:g} s: stop every worker of the service; a killed one keeps its "
                        "slices until its session has ended"
                    ]
                )
            self._member.poll(0.05)

    def show(self, offsets: Mapping[Partition, int]) -> None:
        """Commit offsets of other topics, outside of any transaction (MembershipChanged)."""
        self._member.commit(offsets)

    # -- writing -----------------------------------------------------------------------------------------------------

    def write(self, number: int, offset: int, records: Sequence[Outgoing]) -> None:
        """Commit these, in one transaction, with this offset of the slice's command partition.

        Raises MembershipChanged if the slice is no longer ours, BrokerUnavailable if nothing is decided in time.
        """
        producer = self._producer
        assert producer is not None, "an owner is used as a context manager"
        self._member.poll(0)
        if number not in self._owned:
            raise MembershipChanged(f"slice {number} of group {self.group} went to a worker: stop it, and try again")
        producer.begin()
        try:
            producer.send(records)
            producer.attach({Partition(self.commands, number): offset}, self._member.metadata(), _CALL)
            self._commit(producer)
        except TransactionAborted:
            producer.abort(_CALL)
            raise

    def _commit(self, producer: Producer) -> None:
        until = time.monotonic() + self._options.patience
        while True:
            try:
                return producer.commit(_CALL)
            except BrokerUnavailable:
                if time.monotonic() > until:
                    raise

    def write_all(self, number: int, offset: int, records: Sequence[Outgoing]) -> None:
        """The same in as many transactions as it takes, in order."""
        for some in portions(records):
            self.write(number, offset, some)


def portions(records: Sequence[Outgoing]) -> list[list[Outgoing]]:
    """What fits into one transaction each."""
    found: list[list[Outgoing]] = []
    size = 0
    for record in records:
        if not found or len(found[-1]) >= _AT_ONCE or size > _BYTES:
            found.append([])
            size = 0
        found[-1].append(record)
        size += len(record.key or b"") + len(record.value or b"")
    return found


def refuse_while_used(broker: Broker, service: str, group: str) -> None:
    """ConfigurationError if a worker of the service is a member of its group."""
    admin = broker.admin()
    try:
        if admin.has_members(group):
            raise ConfigurationError(
                [
                    f"{service} runs: its group {group} has members. Stop all its workers first; one that was killed "
                    "is a member until its session has ended"
                ]
            )
    finally:
        admin.close()
