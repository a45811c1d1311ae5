"""Instances of workflows in a log: the records that a host writes of them, made by the kernel from real code."""

from __future__ import annotations

import json
from struct import pack
from typing import Any

from antiphon.app import App
from antiphon.broker import Outgoing, Record
from antiphon.codecs.avro import AvroCodec
from antiphon.envelope import derived_id
from antiphon.instances import INSTANCE, PARKED_INSTANCE, PART, RUN, turn_key
from antiphon.messages import Command, Event, Message
from antiphon.topics import TopicNames, partition_of
from antiphon.workflow import turns
from antiphon.workflow.about import about_of
from antiphon.workflow.instance import Identity
from antiphon.workflow.kernel import advance, open_instance
from antiphon.workflow.turns import Input, KernelOptions, Turn
from antiphon.workflow_context import Approval

CODEC = AvroCodec()
OPTIONS = KernelOptions(lambda value, kind: CODEC.decode(value, None, kind))


class LoggedInstance:
    """One run of the workflow of `command`; `log` is everything that its host has written, in order.

    Methods that feed it take the time in seconds since 1970.
    """

    def __init__(
        self,
        app: App,
        command: Command[Any],
        *,
        number: int = 1,
        run: int = 1,
        correlation_id: str = "order 7",
        tenant: str = "acme",
        partitions: int = 4,
    ) -> None:
        names = TopicNames()
        self.id = derived_id("logged", str(number))
        self.identity = Identity(self.id, run)
        self.command, self.correlation_id = command, correlation_id
        self.partition = partition_of(correlation_id.encode(), partitions)
        self.workflow = next(one for one in app.workflows if one.message is type(command))
        self.service = app.service
        self.state, self.histories = names.state(app.service), names.histories
        self.headers = [
            ("ce_type", type(command).type_name().encode()),
            ("ce_id", self.id.encode()),
            ("ce_correlationid", correlation_id.encode()),
            ("ce_tenantid", tenant.encode()),
        ]
        self.topic = names.commands(app.service)
        self._instance = open_instance(self.workflow, self.identity, OPTIONS)
        self.records: list[bytes] = []
        self.log: list[Outgoing] = []
        self.last: Turn | None = None

    @property
    def arrival(self) -> Outgoing:
        """The command's own record."""
        key = self.correlation_id.encode()
        return Outgoing(self.topic, self.partition, key, CODEC.encode(self.command), self.headers)

    def start(self, at: float) -> Turn:
        record = Record(self.topic, self.partition, 3, self.correlation_id.encode(), None, self.headers, 0)
        about = about_of(record)
        return self.feed(turns.start(at, CODEC.encode(self.command), self.correlation_id, about=about))

    def feed(self, told: Input) -> Turn:
        """One turn; of the last one the whole history follows, and tombstones."""
        turn = self.last = advance(self._instance, told)
        assert turn.record is not None, "nothing waits for it"
        self.records.append(turn.record)
        self.log.append(self._state(turn_key(*self.identity, turn.number), turn.record))
        if turn.outcome is not None:
            self.log += self.ended()
        return turn

    def reply(self, at: float, number: int, message: Message | None = None) -> Turn:
        return self.feed(turns.reply(at, number, b"" if message is None else CODEC.encode(message)))

    def signal(self, at: float, event: Event) -> Turn:
        return self.feed(turns.signal(at, event.type_name(), CODEC.encode(event)))

    def decide(self, at: float, number: int, approval: Approval[Any]) -> Turn:
        return self.feed(turns.reply(at, number, approval.to_json()))

    def park(self, at: float, why: str = "it differs") -> None:
        told = {"v": 1, "run": self.identity.run, "turn": len(self.records) + 1, "why": why, "kind": "differs"}
        self.log.append(self._state(self._parked_key, json.dumps(told | {"since": at}).encode()))

    def go_on(self) -> None:
        self.log.append(self._state(self._parked_key, None))

    def ended(self, parts: int = 1) -> list[Outgoing]:
        """What the last turn of a run writes beside itself."""
        count = -(-len(self.records) // parts)
        history = [
            Outgoing(
                self.histories,
                self.partition,
                self.id.encode(),
                b"".join(pack("<I", len(record)) + record for record in self.records[at : at + count]),
                [
                    ("ce_type", b"antiphon.workflows.History"),
                    (INSTANCE, self.id.encode()),
                    (RUN, str(self.identity.run).encode()),
                    (PART, f"{at // count + 1}/{parts}".encode()),
                    ("ce_service", self.service.encode()),
                ],
            )
            for at in range(0, len(self.records), count)
        ]
        keys = [turn_key(*self.identity, turn) for turn in range(1, len(self.records) + 1)]
        return history + [self._state(key, None) for key in keys]

    @property
    def _parked_key(self) -> bytes:
        return PARKED_INSTANCE + self.id.encode()

    def _state(self, key: bytes, value: bytes | None) -> Outgoing:
        return Outgoing(self.state, self.partition, key, value, [])
