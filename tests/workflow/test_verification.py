"""Live histories are fed to other code before it is rolled out, and each difference is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from antiphon import App, Approval, WorkflowContext
from antiphon.broker import Outgoing
from antiphon.catalogue import Catalogue
from antiphon.cli import verifying
from antiphon.cli.main import cli as commands
from antiphon.errors import BrokerUnavailable
from antiphon.workflow.instance import Identity
from antiphon.workflow.verification import difference, runs
from tests.processing.world import World
from tests.workflow.folding import NOON, advanced, maintenance
from tests.workflow.logged import OPTIONS, LoggedInstance
from tests.workflow.messages import BookVisit, MaintainVehicle, MaintenanceDecided


class Stricter(MaintainVehicle):
    colour: str

    @classmethod
    def type_name(cls) -> str:
        return MaintainVehicle.type_name()


def changed() -> App:
    """Another author has come by: it sleeps before it asks."""
    app = App("maintenance")

    @app.workflow()
    async def maintain(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        ctx.set_status("booking")
        visit = await ctx.call(BookVisit(vehicle_id=command.vehicle_id), timeout="1h")
        ctx.set_status(f"booked at {visit.centre}")
        await ctx.sleep("1h")
        return MaintenanceDecided(action="visit")

    return app


def newer() -> App:
    app = App("maintenance")

    @app.workflow(version=2)
    async def maintain(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        return MaintenanceDecided(action="visit")

    return app


def instance(number: int = 1) -> LoggedInstance:
    return LoggedInstance(maintenance(), MaintainVehicle(vehicle_id="v1"), number=number)


class Log:
    """The state of four slices, with so many instances up to their question, and one that has ended."""

    def __init__(self, live: int) -> None:
        self.world = World(maintenance())
        self.live = [advanced(instance(number)) for number in range(1, live + 1)]
        ended = advanced(instance(99))
        ended.decide(NOON + 2, 4, Approval(False, "ada"))
        for each in (*self.live, ended):
            self.world.send(*each.log)

    def verify(self, app: App) -> verifying.Verified:
        return verifying.verify(self.world.broker, Catalogue([app], self.world.installation))


@pytest.mark.promise("S1-42")
def test_code_that_decides_alike_leads_every_live_instance_on() -> None:
    log = Log(3)
    log.world.send(Outgoing(log.world.names.state("maintenance"), 1, b"progress", b"{}", []))
    found = log.verify(maintenance())
    assert (found.instances, found.turns, found.differences) == (3, 6, [])


@pytest.mark.promise("S1-42")
def test_a_difference_names_the_turn_both_decisions_and_the_line() -> None:
    log = Log(2)
    found = log.verify(changed())

    assert [each.instance for each in found.differences] == sorted(each.id for each in log.live)
    differs = found.differences[0]
    assert (differs.service, differs.workflow, differs.run, differs.turn) == ("maintenance", "maintain_vehicle", 1, 2)
    assert differs.recorded.startswith("approval planner")
    assert differs.made.startswith("timer")
    file, _, rest = differs.line.partition(":")
    assert "ctx.sleep" in Path(file).read_text("utf-8").splitlines()[int(rest.split()[0]) - 1]
    assert differs.row()["turn"] == "1.2"


def test_an_instance_whose_version_is_gone_differs() -> None:
    (found,) = Log(1).verify(newer()).differences
    assert "no workflow of antiphon.maintenance.MaintainVehicle in version 1" in found.made
    assert (found.turn, found.workflow) == (0, "maintain_vehicle")


def test_a_history_that_is_not_whole_differs() -> None:
    whole = advanced(instance())
    found = difference(maintenance(), whole.identity, whole.records[1:], OPTIONS)
    assert found is not None
    assert "begins with turn 2" in found.made


def test_code_that_fails_with_a_history_differs() -> None:
    app = App("maintenance")

    @app.workflow()
    async def maintain(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        raise KeyError(command.vehicle_id)

    whole = advanced(instance())
    found = difference(app, whole.identity, whole.records, OPTIONS)
    assert found is not None
    assert "KeyError" in found.made
    assert found.turn == 1


def test_what_the_new_class_cannot_read_differs() -> None:
    app = App("maintenance")

    @app.workflow()
    async def maintain(command: Stricter, ctx: WorkflowContext) -> MaintenanceDecided:
        return MaintenanceDecided(action="visit")

    whole = advanced(instance())
    found = difference(app, whole.identity, whole.records, OPTIONS)
    assert found is not None
    assert found.made.startswith("Stricter cannot be read")


def test_turns_are_put_together_to_runs() -> None:
    found: Any = {("b", 2, 1): b"b21", ("a", 1, 2): b"a12", ("a", 1, 1): b"a11", ("b", 1, 1): b"b11"}
    assert dict(runs(found)) == {
        Identity("a", 1): [b"a11", b"a12"],
        Identity("b", 1): [b"b11"],
        Identity("b", 2): [b"b21"],
    }


def test_an_open_transaction_ends_it_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(1)
    hanging = log.world.broker.producer("hanging")
    hanging.begin()
    hanging.send([Outgoing(log.world.names.state("maintenance"), 0, b"x", b"", [])])
    monkeypatch.setattr(verifying, "PATIENCE", 0.5)
    with pytest.raises(BrokerUnavailable, match="a transaction has been open"):
        log.verify(maintenance())
    hanging.abort(5)


@pytest.mark.promise("S1-42")
def test_the_command_ends_with_1_if_anything_differs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    log, app = Log(2), [changed()]
    monkeypatch.setattr("antiphon.bootstrap.kafka", lambda _: log.world.broker)
    monkeypatch.setattr("antiphon.cli.options.find_apps", lambda *_: app)
    monkeypatch.setenv("ANTIPHON_PARTITIONS", "4")
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(commands, ["workflows", "verify", "--json"])
    assert found.exit_code == 1, found.output
    app[:] = [maintenance()]
    good = CliRunner().invoke(commands, ["workflows", "verify"])
    assert good.exit_code == 0, good.output
    assert "2 live instances with 4 turns, 0 differ" in good.stderr
