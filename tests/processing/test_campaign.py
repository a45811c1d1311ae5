"""A mail campaign: one command for each recipient, and a key with each mail by which the sink delivers it once."""

from __future__ import annotations

import pytest

from antiphon import App, Command, Context
from tests.processing.world import World

RECIPIENTS = [f"person-{number}@example.org" for number in range(12)]


class SendCampaign(Command, service="campaigns", key="campaign"):
    campaign: str
    recipients: list[str]


class SendMail(Command, service="campaigns", key="recipient"):
    campaign: str
    recipient: str


class Sink:
    """A mail server that takes an idempotency key, as such services do: a known key is answered, not sent again."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.delivered: dict[str, str] = {}

    def send(self, key: str, recipient: str) -> None:
        self.calls.append((key, recipient))
        self.delivered.setdefault(key, recipient)


class Killed(BaseException):
    """The process dies here."""


def campaigns(sink: Sink) -> App:
    app = App("campaigns")

    @app.command()
    async def send_campaign(command: SendCampaign, ctx: Context) -> None:
        for recipient in command.recipients:
            ctx.send(SendMail(campaign=command.campaign, recipient=recipient))

    @app.command()
    async def send_mail(command: SendMail, ctx: Context) -> None:
        sink.send(str(ctx.id), command.recipient)  # the same at every attempt, of every process

    return app


@pytest.mark.promise("S0-29", "S0-45")
@pytest.mark.parametrize("commits_before", [0, 1, 2])
def test_a_campaign_that_is_killed_on_the_way_reaches_everybody_once(
    commits_before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies when mails have left and nothing is noted yet; whoever goes on repeats them under the same keys."""
    sink = Sink()
    app = campaigns(sink)
    world = World(app)
    victim = world.worker(app, in_flight=4)  # so that it takes several commits
    world.serve()
    producer = victim._commits._committer._producer
    assert producer is not None
    commit, left = producer.commit, commits_before

    def commit_or_die(timeout: float) -> None:
        nonlocal left
        if not left:
            raise Killed
        left -= 1
        commit(timeout)

    monkeypatch.setattr(producer, "commit", commit_or_die)
    world.send(world.record(SendCampaign(campaign="spring", recipients=RECIPIENTS)))
    with pytest.raises(Killed):
        world.turn(100)
    world.workers = []
    world.clock.advance(60)
    world.worker(app)
    world.until(lambda: len(world.settled()) == len(RECIPIENTS) + 1, "all commands have ended")
    world.turn(100)
    assert sorted(sink.delivered.values()) == sorted(RECIPIENTS), "everybody once"
    assert len(sink.calls) <= 2 * len(RECIPIENTS), "at most one repeat each"
    assert commits_before != 1 or len(sink.calls) > len(RECIPIENTS), "some had left before it died"
    assert {recipient: key for key, recipient in sink.calls} == {to: key for key, to in sink.delivered.items()}
