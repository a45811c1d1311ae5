"""A client on the embedded broker, or on any other that keeps the contract of `broker.py`."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from antiphon.broker import Admin, Broker, Outgoing, Partition, Producer, Reader, ReaderOptions, Record
from antiphon.clients.correlation import ClientParts, CorrelatingClient

log = logging.getLogger(__name__)
PATIENCE = 10.0  # seconds for a write
PAUSE = 0.1  # seconds after which the listening thread looks whether it is to end
AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """`name` stands in the source of every command; `message_bytes` is the most an encoded one may have."""

    name: str = "client"
    message_bytes: int = 1_000_000


class MemoryClient(CorrelatingClient):
    """Writes on the caller's thread, since an embedded broker answers at once; listens in a thread of its own."""

    def __init__(self, parts: ClientParts, broker: Broker, options: ClientOptions) -> None:
        super().__init__(parts, options.name, options.message_bytes)
        self._broker = broker
        self._admin: Admin = broker.admin()
        self._producer: Producer = broker.producer()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    async def _open(self) -> None:
        """Nothing to connect to."""

    async def _look_up(self) -> Mapping[str, int]:
        return {name: topic.partitions for name, topic in self._admin.topics().items()}

    async def _write(self, record: Outgoing) -> None:
        self._producer.send([record])
        self._producer.flush(PATIENCE)

    async def _listen(self, partition: int) -> None:
        replies, schemas = Partition(self._names.replies, partition), Partition(self._names.schemas, 0)
        reader = self._broker.reader(ReaderOptions(f"{self._names.prefix}client"))
        ends = await asyncio.wrap_future(self._admin.ends([replies]))
        starts = await asyncio.wrap_future(self._admin.log_starts([schemas]))
        reader.assign({**ends, **starts})
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._receive, args=(reader, loop), name="client-replies", daemon=True)
        self._thread.start()

    def _receive(self, reader: Reader, loop: asyncio.AbstractEventLoop) -> None:
        while not self._ending.is_set():
            records = reader.poll(AT_ONCE, PAUSE)
            if records:
                try:
                    loop.call_soon_threadsafe(self._take, records)
                except RuntimeError:  # the loop is gone, and every request with it
                    break
        reader.close()

    def _take(self, records: list[Record]) -> None:
        for record in records:
            if record.topic == self._names.schemas:
                self._answers.learn(record)
            else:
                self._answers.take(record)

    async def _shut(self) -> None:
        self._ending.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, PATIENCE)
        self._producer.close()
        self._admin.close()
