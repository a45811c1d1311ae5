"""`ctx.once`: an effect outside of Kafka happens once, but for a crash right after it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from antiphon import App, Command, Context, Permanent, Reply, Retry
from antiphon.executors.event_loop import LoopExecutor
from antiphon.lifecycle import DeadLetter
from antiphon.processing.worker import Worker
from tests.processing.world import World
from tests.waiting import until

pytestmark = pytest.mark.slow

RECIPIENTS = [f"person-{number}@example.org" for number in range(6)]


class Sent(Reply):
    receipts: list[str]


class SendCampaign(Command[Sent], service="campaigns", key="campaign"):
    campaign: str
    recipients: list[str]


class Sink:
    """A mail server that takes an idempotency key: a known key is answered, not sent again."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.delivered: dict[str, str] = {}
        self.called: Callable[[], None] = lambda: None

    async def send(self, key: str, recipient: str) -> str:
        self.calls[key] += 1
        self.delivered.setdefault(key, recipient)
        self.called()
        return f"receipt for {recipient}"


class Campaigns:
    """A campaign service on an event loop, and a world around it in real time."""

    def __init__(self) -> None:
        self.sink = Sink()
        self.fail: list[Exception] = []
        self.app = App("campaigns")

        @self.app.command(retry=Retry("10ms", "10ms"))
        async def send_campaign(command: SendCampaign, ctx: Context) -> Sent:
            receipts = [await ctx.once(each, partial(self.sink.send, recipient=each)) for each in command.recipients]
            if self.fail:
                raise self.fail.pop(0)
            return Sent(receipts=receipts)

        self.world = World(self.app)
        self.workers: list[tuple[Worker, LoopExecutor]] = []

    def start(self) -> None:
        executor = LoopExecutor()
        self.workers.append((self.world.worker(self.app, executor=executor), executor))
        until(lambda: self.turn() and len(self.workers[-1][0].serving) == 4, "it serves")

    def turn(self) -> bool:
        worker, executor = self.workers[-1]
        self.world.clock.advance(0.005)
        executor.wait(min(0.005, worker.turn(self.world.clock.now())))
        return True

    def submit(self) -> None:
        self.world.send(self.world.record(SendCampaign(campaign="autumn", recipients=RECIPIENTS)))

    def send_back(self, letter: DeadLetter, *extra: tuple[str, bytes]) -> None:
        """As the gateway redrives or discards a dead letter."""
        headers = [(header.name, header.value) for header in letter.record_headers]
        headers += [("ce_handler", (letter.handler or "").encode()), ("ce_generation", b"1"), *extra]
        topic = self.world.names.commands("campaigns")
        again = self.world.record(SendCampaign(campaign="autumn", recipients=RECIPIENTS))
        self.world.send(again._replace(topic=topic, partition=letter.partition, headers=headers))

    @property
    def entries(self) -> list[bytes]:
        """The effects that the state has."""
        found = {record.key: record.value for record in self.world.read(self.world.names.state("campaigns"))}
        return [key for key, value in found.items() if key and key.startswith(b"effect/") and value is not None]

    def finish(self) -> None:
        until(lambda: self.turn() and len(self.world.settled()) == 1, "the campaign has ended")


@pytest.fixture
def campaigns() -> Iterator[Campaigns]:
    campaigns = Campaigns()
    campaigns.start()
    yield campaigns
    for worker, _ in campaigns.workers:
        worker.close(1)


@pytest.mark.promise("S0-45", "S0-29")
def test_an_attempt_that_fails_later_does_not_repeat_what_was_done(campaigns: Campaigns) -> None:
    campaigns.fail = [ValueError("the report could not be written")] * 2
    campaigns.submit()
    campaigns.finish()
    (end,) = campaigns.world.settled()
    assert (end.status, end.attempts) == ("completed", 3)
    assert set(campaigns.sink.calls.values()) == {1}
    assert sorted(campaigns.sink.delivered.values()) == RECIPIENTS
    assert end.result is not None
    assert "receipt for person-5@example.org" in end.result
    assert campaigns.entries == [], "they go when the message is settled"


@pytest.mark.promise("S0-45", "S0-29")
@pytest.mark.parametrize("killed_at", [1, 3, 6])
@pytest.mark.parametrize("recorded", [False, True])
def test_a_campaign_killed_anywhere_delivers_to_everybody_once(
    campaigns: Campaigns, killed_at: int, recorded: bool
) -> None:
    """Killed between the send and its record the sink sees one repeat, under the same key; killed later none."""
    sink, dead = campaigns.sink, False

    def called() -> None:
        nonlocal dead
        dead = dead or (not recorded and sum(sink.calls.values()) == killed_at)

    sink.called = called
    campaigns.submit()
    until(
        lambda: (dead or campaigns.turn()) and (dead or (recorded and len(campaigns.entries) >= killed_at)),
        "the moment at which it is killed",
    )
    assert not campaigns.world.settled()
    campaigns.world.clock.advance(60)
    dead = False
    campaigns.start()
    campaigns.finish()
    assert sorted(sink.delivered.values()) == RECIPIENTS
    repeats = [key for key, calls in sink.calls.items() if calls > 1]
    assert len(repeats) <= (0 if recorded else 1)
    assert max(sink.calls.values()) <= 2


def test_what_was_done_stays_known_behind_a_dead_letter(campaigns: Campaigns) -> None:
    campaigns.fail = [Permanent("no")]
    campaigns.submit()
    campaigns.finish()
    assert len(campaigns.entries) == len(RECIPIENTS)
    (letter,) = campaigns.world.dead_letters()
    campaigns.send_back(letter)
    until(lambda: campaigns.turn() and len(campaigns.world.settled()) == 2, "the redrive has ended")
    assert set(campaigns.sink.calls.values()) == {1}
    assert campaigns.entries == []


def test_what_was_done_is_forgotten_with_a_dead_letter_that_is_discarded(campaigns: Campaigns) -> None:
    campaigns.fail = [Permanent("no")]
    campaigns.submit()
    campaigns.finish()
    assert len(campaigns.entries) == len(RECIPIENTS)
    campaigns.send_back(campaigns.world.dead_letters()[0], ("ce_discard", b"1"))
    until(lambda: campaigns.turn() and not campaigns.entries, "the entries are gone")


def test_an_effect_that_leaves_no_json_is_a_clear_error() -> None:
    campaigns = Campaigns()

    class Odd(Command, service="campaigns", key="name"):
        name: str

    async def odd(command: Odd, ctx: Context) -> None:
        await ctx.once("odd", lambda key: object())

    odd.__annotations__["command"] = Odd
    campaigns.app.command()(odd)
    campaigns.world = World(campaigns.app)
    campaigns.start()
    campaigns.world.send(campaigns.world.record(Odd(name="a")))
    campaigns.finish()
    assert "which is no JSON" in campaigns.world.dead_letters()[0].failure.message
    campaigns.workers[0][0].close(1)


def test_a_service_without_state_is_told_at_the_call() -> None:
    app = App("campaigns", delivery="at_least_once")

    @app.command()
    async def send_campaign(command: SendCampaign, ctx: Context) -> Sent:
        return Sent(receipts=[await ctx.once("a", lambda key: key)])

    world = World(app)
    world.worker(app)
    world.serve()
    world.send(world.record(SendCampaign(campaign="a", recipients=[])))
    world.until(lambda: len(world.settled()) == 1, "it ends")
    assert "delivery='transactional'" in world.dead_letters()[0].failure.message
