"""What every client does, whatever carries its records: submit, request, and the answer that belongs to a request."""

from __future__ import annotations

import asyncio
import itertools
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any, TypeVar, cast
from uuid import UUID

from antiphon.broker import Outgoing
from antiphon.catalogue import Catalogue
from antiphon.client import Client, InstanceMessage, ReturnedLetter, SubmitOptions
from antiphon.clients.answers import Answers
from antiphon.clients.commands import CommandRecords
from antiphon.clients.instance_messages import InstanceRecords
from antiphon.clients.returned_letters import cancels, returned
from antiphon.clock import Clock
from antiphon.codec import Codec
from antiphon.declarations import Change, written
from antiphon.durations import Duration, seconds
from antiphon.envelope import ReplyAddress
from antiphon.errors import BrokerUnavailable, CommandFailed, ConfigurationError, UnknownTopic
from antiphon.lifecycle import CancelRequested
from antiphon.messages import Answer, Command, Event, Message
from antiphon.processing.announced import announcements
from antiphon.topics import partition_of, single_partition
from antiphon.tracing import NoTracing, Tracing

ReplyT = TypeVar("ReplyT", bound=Answer | None)


@dataclass(frozen=True, slots=True)
class ClientParts:
    """What a client is made of; the schemas of the catalogue's commands are announced before the first record."""

    catalogue: Catalogue
    codec: Codec
    clock: Clock
    tracing: Tracing = field(default_factory=NoTracing)


class CorrelatingClient(Client):
    """A client on top of five steps that an implementation gives it.

    It opens at `async with` or at the first call, and begins to listen for answers at the first request: at the end of
    one partition of `replies`, found before the command is written.
    """

    def __init__(self, parts: ClientParts, name: str, message_bytes: int) -> None:
        self._catalogue, self._codec, self._clock = parts.catalogue, parts.codec, parts.clock
        self._names = parts.catalogue.installation.names
        installation = parts.catalogue.installation
        self._records = CommandRecords(parts.codec, installation, name, message_bytes, parts.tracing)
        self._instance_records = InstanceRecords(parts.catalogue.installation, name, message_bytes)
        self._answers = Answers(parts.codec)
        self._token = token_hex(8)
        self._reply_partition = partition_of(self._token.encode(), parts.catalogue.installation.partitions)
        self._numbers = itertools.count(1)
        self._step = asyncio.Lock()
        self._connected = self._opened = self._listening = self._closed = False
        self._opening: asyncio.Task[None] | None = None
        self._announced: set[type[Message]] = set()
        self._partitions: Mapping[str, int] = {}

    @abstractmethod
    async def _open(self) -> None:
        """Connect, or leave nothing behind and raise BrokerUnavailable."""

    @abstractmethod
    async def _look_up(self) -> Mapping[str, int]:
        """Every topic of the cluster with its number of partitions. Raises BrokerUnavailable."""

    @abstractmethod
    async def _write(self, record: Outgoing) -> None:
        """Return when the cluster has stored it. Raises BrokerUnavailable, UnknownTopic, RecordRefused."""

    @abstractmethod
    async def _listen(self, partition: int) -> None:
        """Give `Answers` what comes on this partition of `replies` from now on, and the whole of `schemas`.

        Returns when the end of the partition is known. Raises BrokerUnavailable.
        """

    @abstractmethod
    async def _shut(self) -> None:
        """Undo `_open` and `_listen`, whichever of them happened."""

    async def submit(self, command: Command[Any], options: SubmitOptions = SubmitOptions()) -> UUID:
        return await self._submit(command, options, None)

    async def publish(self, event: Event, options: SubmitOptions = SubmitOptions()) -> UUID:
        return await self._submit(event, options, None)

    async def request(
        self,
        command: Command[ReplyT],
        *,
        timeout: Duration | None = None,
        options: SubmitOptions = SubmitOptions(),
        stored: Callable[[UUID], None] | None = None,
    ) -> ReplyT:
        patience = command.answer_within if timeout is None else seconds(timeout)
        token = f"{self._token}.{next(self._numbers)}".encode()
        address = ReplyAddress(self._names.replies, self._reply_partition, token, token)
        answer = self._answers.expect(token, type(command))
        id_: UUID | None = None
        try:
            async with asyncio.timeout(patience):
                await self._ready(type(command))
                await self._listen_once()
                id_ = await self._submit(command, self._within(patience, options), address)
                if stored is not None:
                    stored(id_)
                return cast(ReplyT, await answer)
        except TimeoutError:
            if id_ is None:
                raise BrokerUnavailable(f"the cluster has not stored the command within {patience:g} s") from None
            why = "its answer is in a schema that nobody has announced" if self._answers.unread(token) else "no answer"
            raise CommandFailed(
                "timeout", f"{type(command).__name__} {id_}: {why} after {patience:g} s", retryable=True
            ) from None
        finally:
            self._answers.forget(token)

    async def cancel(
        self, command_id: UUID, *, service: str, key: bytes | None = None, reason: str = "", requested_by: str = ""
    ) -> None:
        wanted = CancelRequested(
            command_id=str(command_id),
            service=service,
            reason=reason,
            requested_by=requested_by,
            requested_at=datetime.fromtimestamp(self._clock.now(), UTC),
        )
        await self._open_once()
        await self._check(self._names.cancels)
        for record in cancels(wanted, key, self._catalogue.installation):
            await self._write(record)

    async def send_back(self, letters: Sequence[ReturnedLetter]) -> None:
        installed = self._catalogue.installation
        await self._write_in_lanes([returned(letter, installed) for letter in letters])

    async def tell(self, messages: Sequence[InstanceMessage]) -> list[UUID]:
        written = [self._instance_records.record(message, self._clock.now()) for message in messages]
        await self._write_in_lanes([record for _, record in written])
        return [id_ for id_, _ in written]

    async def _write_in_lanes(self, records: Sequence[Outgoing]) -> None:
        lanes: defaultdict[tuple[str, int], list[Outgoing]] = defaultdict(list)
        for record in records:
            lanes[record.topic, record.partition].append(record)
        await self._open_once()
        for topic in {topic for topic, _ in lanes}:
            await self._check(topic)
        # partitions side by side, each in its order
        await asyncio.gather(*map(self._write_in_order, lanes.values()))

    async def _write_in_order(self, records: Sequence[Outgoing]) -> None:
        for record in records:
            await self._write(record)

    async def declare(self, change: Change) -> None:
        await self._open_once()
        await self._check(self._names.control)
        await self._write(Outgoing(self._names.control, 0, *written(change)))

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._answers.cancel()
        async with self._step:
            await self._shut()

    async def __aenter__(self) -> Client:
        try:
            await self._open_once()
        except BaseException:
            await self.close()
            raise
        return self

    async def _submit(self, command: Command[Any] | Event, options: SubmitOptions, reply: ReplyAddress | None) -> UUID:
        id_, record = self._records.record(command, options, self._clock.now(), reply)
        await self._ready(type(command))
        await self._check(record.topic)
        await self._write(record)
        return id_

    def _within(self, patience: float, options: SubmitOptions) -> SubmitOptions:
        """Nobody needs the answer later than the asker waits for it."""
        deadline = datetime.fromtimestamp(self._clock.now() + patience, UTC)
        if options.deadline is not None and options.deadline.tzinfo is not None:
            deadline = min(deadline, options.deadline)
        return replace(options, deadline=deadline)

    async def _ready(self, kind: type[Message]) -> None:
        """Open, and announced what is about to be written."""
        await self._open_once()
        if kind not in self._announced:
            await self._announce([kind])

    async def _open_once(self) -> None:
        """One opening for all who wait for it: a cluster that is away is waited for once, not by one after another."""
        if self._opened and not self._closed:
            return
        if self._closed:
            raise RuntimeError("this client is closed; make a new one")
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._connect())
            self._opening.add_done_callback(_take_note)
        await asyncio.shield(self._opening)

    async def _connect(self) -> None:
        async with self._step:
            if not self._connected:
                await self._open()
                self._connected = True
            await self._announce(list(self._catalogue.commands.values()))
            self._opened = True

    async def _listen_once(self) -> None:
        if self._listening:
            return
        async with self._step:
            if not self._listening and not self._closed:
                await self._check(self._names.replies)
                await self._check(self._names.schemas)
                await self._listen(self._reply_partition)
                self._listening = True

    async def _announce(self, kinds: list[type[Any]]) -> None:
        """Twice does no harm: the topic keeps one record per fingerprint."""
        await self._check(self._names.schemas)
        for record in announcements(self._codec, kinds, self._names.schemas):
            await self._write(record)
        self._announced.update(kinds)

    async def _check(self, topic: str) -> None:
        """Raises UnknownTopic, and ConfigurationError where keys would be placed by another number of partitions."""
        installed = self._catalogue.installation
        wanted = 1 if single_partition(installed.names, topic) else installed.partitions
        if self._partitions.get(topic) == wanted:
            return
        self._partitions = await self._look_up()
        found = self._partitions.get(topic)
        if found is None:
            raise UnknownTopic(f"topic {topic} does not exist: run `antiphon topics apply`")
        if found != wanted:
            raise ConfigurationError(
                [f"topic {topic} has {found} partitions, this client expects {wanted}: set ANTIPHON_PARTITIONS"]
            )


def _take_note(opening: asyncio.Task[None]) -> None:
    """Whoever waited for it has been told; if nobody does any more, its failure is no news."""
    if not opening.cancelled():
        opening.exception()
