"""A log with instances of one workflow, folded into a database."""

from __future__ import annotations

from pathlib import Path

from antiphon import App, CommandFailed, Context, WorkflowContext
from antiphon.broker import Outgoing
from antiphon.codecs.avro import AvroCodec
from antiphon.envelope import Origin, derived_id, headers
from antiphon.lifecycle import CommandSettled
from antiphon.status.projector import Projector, ProjectorOptions, ProjectorParts
from antiphon.store import WorkflowRow
from antiphon.stores.sql import SqlStore
from tests.processing.world import World
from tests.workflow.logged import LoggedInstance
from tests.workflow.messages import BookVisit, CustomerAgreed, MaintainVehicle, MaintenanceDecided, VisitBooked

NOON = 1_800_000_000.0


def maintenance() -> App:
    app = App("maintenance")

    @app.workflow()
    async def maintain(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        ctx.set_status("booking")
        if command.left:
            ctx.continue_as_new(MaintainVehicle(vehicle_id=command.vehicle_id, left=command.left - 1))
        visit = await ctx.call(BookVisit(vehicle_id=command.vehicle_id), timeout="1h")
        ctx.set_status(f"booked at {visit.centre}")
        decided = await ctx.approval("Go?", proposal=BookVisit(vehicle_id="v2"), role="planner", timeout="1d")
        if not decided.approved:
            raise CommandFailed("refused", "nobody wants it")
        await ctx.signal(CustomerAgreed)
        return MaintenanceDecided(action="visit")

    return app


def scheduling() -> App:
    """So that the catalogue has the classes of these names that are meant, whatever else has been imported."""
    app = App("scheduling")

    @app.command()
    def book(command: BookVisit, ctx: Context) -> VisitBooked:
        return VisitBooked(centre="north")

    @app.event()
    def note(event: CustomerAgreed, ctx: Context) -> None: ...

    return app


class Folding:
    """A log, and a database that it is folded into."""

    def __init__(self, database: Path) -> None:
        self.app = maintenance()
        self.world = World(self.app, scheduling())
        self.store = SqlStore.open(f"sqlite:///{database}")

    def fold(self, *records: Outgoing, limit: int = 1000) -> None:
        """Write these, and read all there is."""
        self.world.producer.send(records)
        self.world.producer.flush(5)
        world, options = self.world, ProjectorOptions(limit=limit)
        parts = ProjectorParts(world.broker, world.catalogue, AvroCodec(), self.store, world.clock, options)
        projector = Projector(parts)
        while projector.turn(0):
            pass
        projector.close()

    def instance(self, number: int = 1, left: int = 0, **more: object) -> LoggedInstance:
        return LoggedInstance(self.app, MaintainVehicle(vehicle_id="v1", left=left), number=number, **more)  # type: ignore[arg-type]

    def row(self, instance: LoggedInstance) -> WorkflowRow:
        found = self.store.workflow(instance.id)
        assert found is not None
        return found

    def settled(self, instance: LoggedInstance, status: str, at: float) -> Outgoing:
        told = CommandSettled.model_validate(
            {
                "command_id": instance.id,
                "command_type": MaintainVehicle.type_name(),
                "service": "maintenance",
                "handler": "maintain",
                "replica": "r",
                "correlation_id": "order 7",
                "status": status,
                "attempts": 1,
                "started_at": NOON,
                "finished_at": at,
            }
        )
        found = headers("test", CommandSettled.type_name(), derived_id("s"), at, Origin("c"))
        return Outgoing(self.world.names.lifecycle, 0, instance.id.encode(), self.world.codec.encode(told), found)


def advanced(instance: LoggedInstance) -> LoggedInstance:
    """Up to the question."""
    instance.start(NOON)
    instance.reply(NOON + 1, 2, VisitBooked(centre="north"))
    return instance
