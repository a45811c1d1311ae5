"""Nothing is ever sent to a reply address that cannot be: the cluster would refuse the batch, and with it the work of
everybody whose records are in it."""

from __future__ import annotations

from collections import Counter

import pytest

from antiphon import App, Command, Context, Reply
from antiphon.broker import Outgoing
from antiphon.processing.worker import Worker
from tests.processing.manual_executor import ManualExecutor
from tests.processing.world import World

IMPOSSIBLE = ["nowhere/0", "nowhere", "antiphon.replies/99", "antiphon.replies/x"]


class Dug(Reply):
    depth: int


class Dig(Command[Dug], service="garden", key="bed"):
    bed: str


class Garden:
    """Somebody digs in one bed, for as long as the test wants, while others come."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.app = App("garden")

        @self.app.command()
        async def dig(command: Dig, ctx: Context) -> Dug:
            self.calls[command.bed] += 1
            return Dug(depth=self.calls[command.bed])

        self.world = World(self.app, partitions=1)
        self.executor = ManualExecutor()
        self.worker: Worker = self.world.worker(self.app, executor=self.executor)
        self.world.serve()
        self.world.turn(10)

    def dig_beside(self, *records: Outgoing) -> None:
        """Let these come while another bed is dug."""
        self.executor.hold_handlers = True
        self.world.send(self.world.record(Dig(bed="other")))
        self.world.turn(10)
        self.world.send(*records)
        self.world.turn(20)
        self.executor.release()
        self.world.turn(60)

    @property
    def codes(self) -> list[str]:
        return [letter.failure.code for letter in self.world.dead_letters()]


def restated(record: Outgoing, name: str, value: bytes) -> Outgoing:
    """The same with another header."""
    return record._replace(headers=[header for header in record.headers if header[0] != name] + [(name, value)])


@pytest.mark.promise("S0-41")
@pytest.mark.parametrize("address", IMPOSSIBLE)
def test_what_nobody_handles_and_cannot_be_answered_disturbs_nobody(address: str) -> None:
    garden = Garden()
    record = garden.world.record(Dig(bed="a"), ce_replyto=address, ce_replytoken="token")
    garden.dig_beside(restated(record, "ce_type", b"antiphon.garden.Unheard"))
    assert garden.codes == ["unknown-type"]
    assert garden.calls == {"other": 1}, "what runs beside it runs once"


@pytest.mark.promise("S0-45")
@pytest.mark.parametrize("address", IMPOSSIBLE)
def test_a_duplicate_that_cannot_be_answered_disturbs_nobody(address: str) -> None:
    garden = Garden()
    first = garden.world.record(Dig(bed="a"), ce_replyto="antiphon.replies/0", ce_replytoken="first")
    garden.dig_beside(first, restated(first, "ce_replyto", address.encode()))  # the first has not ended yet
    garden.dig_beside(restated(first, "ce_replyto", address.encode()))
    assert [end.status for end in garden.world.settled()] == ["completed"] * 3
    assert garden.calls == {"a": 1, "other": 2}
    assert len(garden.world.read(garden.world.names.replies)) == 1
