"""Users simulate services of their own: the auditor's general questions are asked of any program."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from antiphon import App, Command, Context, State
from antiphon.broker import Outgoing
from antiphon.catalogue import Installation
from antiphon.codec import Codec
from antiphon.envelope import Origin, headers
from antiphon.testing.simulation import Arrival, Evidence, Program, Simulation, Violation, pause
from antiphon.topics import partition_of


class Deposit(Command, service="tills", key="till"):
    till: str
    amount: int


class Till(State):
    holds: int = 0


class Tills(Program):
    """Ten deposits into two tills; `holding` is how a deposit counts."""

    def __init__(self, random: Random, window: float) -> None:
        self._random, self._window = random, window
        self._deposits = [(random.choice("ab"), random.randint(1, 9)) for _ in range(10)]
        app = App("tills")
        kept_elsewhere: dict[str, int] = {}

        @app.command()
        async def deposit(command: Deposit, ctx: Context) -> None:
            till = ctx.state(Till)
            await pause(0.05)
            till.holds = self.add(till.holds, command, kept_elsewhere)

        self.apps = [app]

    def add(self, holds: int, command: Deposit, kept_elsewhere: dict[str, int]) -> int:
        """As it should be."""
        return holds + command.amount

    def load(self, installation: Installation, codec: Codec, begin: float) -> Sequence[Arrival]:
        arrivals = []
        for number, (till, amount) in enumerate(self._deposits):
            at = self._random.uniform(0, self._window)
            id_ = f"00000000-0000-4000-8000-{number:012}"
            found = headers("client/test", Deposit.type_name(), id_, begin + at, Origin(till))
            partition = partition_of(till.encode(), installation.partitions)
            value = codec.encode(Deposit(till=till, amount=amount))
            topic = installation.names.commands("tills")
            arrivals.append(Arrival(at, Outgoing(topic, partition, till.encode(), value, found)))
        return arrivals

    def again(self, arrival: Arrival, number: int) -> Outgoing:
        return arrival.record

    def audit(self, evidence: Evidence) -> list[Violation]:
        kept = evidence.kept("tills", "Till")
        found = {till: Till.model_validate_json(value).holds for till, value in kept.items()}
        expected: dict[str, int] = {}
        for till, amount in self._deposits:
            expected[till] = expected.get(till, 0) + amount
        return [] if found == expected else [Violation(f"the tills hold {found}, not {expected}", tuple(expected))]


class CarelessTills(Tills):
    """Keeps the sum in its own memory, where a failed attempt or a former owner leaves it."""

    def add(self, holds: int, command: Deposit, kept_elsewhere: dict[str, int]) -> int:
        kept_elsewhere[command.till] = kept_elsewhere.get(command.till, 0) + command.amount
        return kept_elsewhere[command.till]


def test_a_service_that_keeps_its_state_is_clean() -> None:
    for seed in range(12):
        assert Simulation(Tills, seed).run().violations == (), f"seed {seed}"


def test_a_service_that_keeps_it_in_its_memory_is_caught() -> None:
    failed = [seed for seed in range(25) if Simulation(CarelessTills, seed).run().violations]
    assert failed
    assert Simulation(CarelessTills, failed[0], faults=[]).run().violations == (), "by a fault alone"
