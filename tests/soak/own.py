"""Commands by our client: submitted, asked for, sent twice under one id, and with deadlines that may pass."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TextIO
from uuid import UUID, uuid4

from antiphon import Command
from antiphon.client import Client, SubmitOptions
from antiphon.errors import BrokerError, CommandFailed
from antiphon.topics import partition_of
from tests.soak.apps import REGULAR, AmendOrder, PlaceOrder, ReserveItem, drawn

CUSTOMERS = 1200
AT_ONCE = 3000
PATIENCE = "60s"  # of whoever waits for an answer


Asked = PlaceOrder | AmendOrder | ReserveItem
Cancel = Callable[[str, str], None]  # a command's id, and its customer


class OwnSender:
    """Each command in a task of its own; what the cluster has not acknowledged is neither counted nor sent again."""

    def __init__(
        self, client: Client, dice: random.Random, accepted: TextIO, counts: Counter[str], cancel: Cancel
    ) -> None:
        self._cancel = cancel
        self._client, self._dice, self._accepted, self._counts = client, dice, accepted, counts
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._sent: deque[tuple[UUID, Asked]] = deque(maxlen=500)

    def send(self) -> None:
        """Begin to send one; nothing while too many are under way already, as when the cluster is away."""
        if len(self._tasks) >= AT_ONCE:
            return
        task = asyncio.create_task(self._send_one())
        self._tasks.add(task)
        task.add_done_callback(self._sent_one)

    def _sent_one(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._failure = self._failure or task.exception()

    def expect_well(self) -> None:
        """Raises what has gone wrong with any of them, beyond a cluster that is away."""
        if self._failure is not None:
            raise self._failure

    async def finish(self) -> None:
        """Everything under way has come to its end."""
        if self._tasks:
            await asyncio.wait(self._tasks)
        self.expect_well()

    async def finish_off(self, partitions: int) -> None:
        """Return when everything that lies in the topic has been looked at: records that repeat an id have no end by
        which one could tell. What lies in the wrong partition is sent on in the first round, and found in the second.
        """
        names = {partition_of(f"last-{number}".encode(), partitions): f"last-{number}" for number in range(100)}
        for _ in range(2):
            last = [PlaceOrder(customer=name, amount=1) for name in names.values()]
            await asyncio.gather(*(self._request(uuid4(), command) for command in last))

    async def _send_one(self) -> None:
        dice, how = self._dice, self._dice.random()
        id_, command = UUID(int=dice.getrandbits(128), version=4), self._command()
        try:
            if how < 0.1 and self._sent:
                id_, command = dice.choice(self._sent)
                await self._submit(id_, command, SubmitOptions(command_id=id_))
                self._counts["repeated by our client"] += 1
            elif how < 0.25:
                await self._request(id_, command)
            elif how < 0.3:
                soon = datetime.now(UTC) + timedelta(seconds=dice.choice((0.2, 2, 5)))
                await self._submit(id_, command, SubmitOptions(command_id=id_, deadline=soon))
            else:
                await self._submit(id_, command, SubmitOptions(command_id=id_))
                self._sent.append((id_, command))
                if how > 0.96:
                    await asyncio.sleep(dice.choice((0, 0.3, 2)))
                    self._cancel(str(id_), command.customer)
        except BrokerError:
            self._counts["not acknowledged"] += 1

    def _command(self) -> Asked:
        dice = self._dice
        amount = dice.randrange(1, 1000)
        if dice.random() < 0.15:
            regular = f"{REGULAR}{dice.randrange(CUSTOMERS // 6)}"
            return ReserveItem(customer=regular, amount=amount, conduct=drawn(dice))
        customer = f"customer-{dice.randrange(CUSTOMERS)}"
        if dice.random() < 0.8:
            return PlaceOrder(customer=customer, amount=amount, conduct=drawn(dice))
        return AmendOrder(customer=customer, amount=amount, conduct=drawn(dice))

    async def _submit(self, id_: UUID, command: Asked, options: SubmitOptions) -> None:
        await self._client.submit(command, options)
        self._counts["sent by our client"] += 1
        print("id", id_, file=self._accepted)

    async def _request(self, id_: UUID, command: Asked) -> None:
        try:
            asked: Command[Any] = command
            answer = await self._client.request(asked, timeout=PATIENCE, options=SubmitOptions(command_id=id_))
            right = answer.customer == command.customer
            self._counts["answered" if right else "answered wrongly"] += 1
        except CommandFailed as failure:
            self._counts["answered" if failure.error_class else "without an answer in time"] += 1
        self._counts["sent by our client"] += 1
        print("id", id_, file=self._accepted)
