"""Who sends what is seen in the source of handlers, drawn, and exported; what cannot be seen is said so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

from antiphon import App, Command, Context, Event, WorkflowContext
from antiphon.catalogue import Catalogue
from antiphon.cli.asyncapi_document import document, written
from antiphon.cli.catalogue_diagram import flowchart
from antiphon.cli.main import cli
from antiphon.cli.sending import sent_by
from antiphon.messages import Service
from tests.workflow import messages
from tests.workflow.messages import (
    AssessVehicle,
    BookVisit,
    CancelVisit,
    CustomerAgreed,
    MaintainVehicle,
    MaintenanceDecided,
    NoteVisit,
    VehicleAssessed,
    VisitBooked,
)

SCHEMA = Path(__file__).parent.parent / "asyncapi" / "asyncapi_3_0_0.json"
ROOT = Path(__file__).parents[2]


class Urgent(Command, service=Service("analysis", lanes=("critical",))):
    """Something that must not wait.

    And more about it.
    """

    text: str = ""


class Heard(Event, family="analysis", key="text"):
    text: str


async def book(command: MaintainVehicle, ctx: WorkflowContext) -> VisitBooked:
    wanted = BookVisit(vehicle_id=command.vehicle_id)
    ctx.compensate(CancelVisit(vehicle_id=command.vehicle_id))
    return await ctx.call(wanted)


async def never_called(ctx: WorkflowContext) -> None:
    ctx.send(NoteVisit(vehicle_id="never"))


def apps() -> list[App]:
    maintenance, analysis = App("maintenance"), App("analysis")

    @maintenance.workflow()
    async def maintain(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        await ctx.gather(ctx.call(messages.AssessVehicle(vehicle_id="v")), ctx.signal(CustomerAgreed))
        await book(command, ctx)
        return MaintenanceDecided(action="x")

    @analysis.command()
    def assess(command: AssessVehicle, ctx: Context) -> VehicleAssessed:
        found: Any = [Heard(text="a")]
        for each in found:
            ctx.publish(each)
        return VehicleAssessed(vehicle_id="v", failure_probability=0.5)

    @analysis.command()
    def hurry(command: Urgent, ctx: Context) -> None:
        ctx.publish(Heard(text=command.text))

    @analysis.event()
    def decided(event: MaintenanceDecided, ctx: Context) -> None:
        ctx.send(Urgent())

    return [maintenance, analysis]


def of_commands(*kinds: type[Command[Any]]) -> Catalogue:
    """Of the commands of `analysis` these alone: those of one service have the same lanes."""
    found = apps()
    found[1].commands = [each for each in found[1].commands if each.message in kinds]
    return Catalogue(found)


def plain() -> Catalogue:
    return of_commands(AssessVehicle)


def laned() -> Catalogue:
    return of_commands(Urgent)


@pytest.mark.promise("S3-46")
def test_what_a_workflow_sends_is_seen_in_its_source_and_where_it_hands_its_context_on() -> None:
    found = sent_by(plain())
    name = "apps.<locals>.maintain"
    assert {(edge.how, edge.type) for edge in found.edges if edge.handler == name} == {
        ("publish", MaintenanceDecided.type_name()),
        ("call", AssessVehicle.type_name()),
        ("call", BookVisit.type_name()),
        ("compensate", CancelVisit.type_name()),
        ("signal", CustomerAgreed.type_name()),
    }


def test_what_only_a_run_decides_is_said_to_be_unseen() -> None:
    (unknown,) = sent_by(plain()).unknown
    assert unknown.startswith("what apps.<locals>.assess of analysis gives to ctx.publish (")
    place = unknown.rpartition("(")[2].rstrip(")")
    file, _, line = place.rpartition(":")
    assert "ctx.publish(each)" in Path(file).read_text("utf-8").splitlines()[int(line) - 1]


@pytest.mark.promise("S3-46")
def test_the_catalogue_is_drawn_with_what_is_not_seen() -> None:
    known = plain()
    lines = [line.strip() for line in flowchart(known, sent_by(known)).splitlines()]
    assert lines[0] == "flowchart LR"
    for wanted in (
        'service_maintenance["maintenance<br/>maintain"]',
        'service_maintenance -- "AssessVehicle" --> service_analysis',
        'service_maintenance -- "BookVisit" --> service_scheduling',
        'clients -- "MaintainVehicle" --> service_maintenance',
        'service_maintenance -. "MaintenanceDecided" .-> family_maintenance',
        'family_maintenance -. "MaintenanceDecided" .-> service_analysis',
        'clients -. "signal CustomerAgreed" .-> service_maintenance',
    ):
        assert wanted in lines, wanted
    assert 'clients -- "AssessVehicle" --> service_analysis' not in lines
    assert lines[-1].startswith("%% not seen: what apps")


@pytest.mark.promise("S3-46")
def test_signals_that_a_workflow_hears_come_from_their_family() -> None:
    app = App("maintenance")

    @app.workflow(signals=[CustomerAgreed])
    async def maintain(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        await ctx.signal(CustomerAgreed)
        return MaintenanceDecided(action="x")

    known = Catalogue([app])
    sending = sent_by(known)
    lines = [line.strip() for line in flowchart(known, sending).splitlines()]
    assert 'family_engagement -. "CustomerAgreed" .-> service_maintenance' in lines
    assert not [line for line in lines if '"signal ' in line]
    assert sending.unknown == []
    found = document(known, sending, title="Vehicles", version="1")
    checked(found)
    assert found["operations"]["maintenance.receive.engagement"]["action"] == "receive"


def checked(found: dict[str, Any]) -> None:
    """By AsyncAPI's own schema, and that every reference leads somewhere."""
    jsonschema.Draft7Validator(json.loads(SCHEMA.read_text("utf-8"))).validate(found)
    todo: list[Any] = [found]
    while todo:
        each = todo.pop()
        if isinstance(each, dict):
            if isinstance(each.get("$ref"), str):
                place: Any = found
                for step in each["$ref"].removeprefix("#/").split("/"):
                    place = place[step]
            todo += [value for name, value in each.items() if name not in ("schema", "headers")]
        elif isinstance(each, list):
            todo += each


@pytest.mark.promise("S3-49", "S3-46")
@pytest.mark.parametrize("which", [plain, laned])
def test_the_catalogue_is_exported_as_asyncapi(which: Any) -> None:
    known = which()
    found = document(known, sent_by(known), title="Vehicles", version="1.2.3")
    checked(found)

    assert json.loads(written(found)) == found
    receive = found["operations"]["maintenance.receive.MaintainVehicle"]
    assert receive["action"] == "receive"
    assert receive["reply"]["messages"][0]["$ref"].endswith("/messages/antiphon.maintenance.MaintenanceDecided")
    told = found["components"]["messages"]["antiphon.maintenance.MaintainVehicle"]
    assert told["payload"]["schema"]["name"] == "MaintainVehicle"
    assert found["channels"]["antiphon.commands.maintenance"]["messages"].keys() == {told["name"]}
    heard = found["operations"]["analysis.receive.maintenance"]["messages"]
    assert [each["$ref"].rpartition("/")[2] for each in heard] == ["antiphon.maintenance.MaintenanceDecided"]


def test_lanes_and_keys_and_texts_stand_in_the_export() -> None:
    known = laned()
    found = document(known, sent_by(known), title="Vehicles", version="1.2.3")
    assert "antiphon.commands.analysis.critical" in found["channels"]
    urgent = found["components"]["messages"][Urgent.type_name()]
    assert urgent["summary"] == "Something that must not wait."
    assert found["operations"]["analysis.send.commands.analysis"]["messages"]
    assert found["components"]["messages"][Heard.type_name()]["bindings"]["kafka"]["key"], "published, not declared"
    assert "antiphon.events.engagement" not in found["channels"], "a signal lies on no family's topic"
    assert found["channels"]["antiphon.commands.scheduling"]["messages"].keys() == {
        BookVisit.type_name(),
        CancelVisit.type_name(),
    }


def test_the_installation_of_this_repository_can_be_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    file = tmp_path / "asyncapi.json"
    ran = CliRunner().invoke(cli, ["asyncapi", "export", "--output", str(file), "--title", "Here"])
    assert ran.exit_code == 0, ran.output
    found = json.loads(file.read_text("utf-8"))
    checked(found)
    assert found["info"]["title"] == "Here"
    assert "processors.receive.ProcessData" in found["operations"]

    drawn = CliRunner().invoke(cli, ["workflows", "diagram", "--catalogue"])
    assert drawn.exit_code == 0, drawn.output
    assert 'clients -- "ProcessData" --> service_processors' in drawn.stdout
    edges = CliRunner().invoke(cli, ["workflows", "diagram", "--catalogue", "--json"])
    assert {"service", "handler", "how", "type"} <= json.loads(edges.stdout)[0].keys()
