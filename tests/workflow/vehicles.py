"""What the workflows under test ask for, and what they are told."""

from __future__ import annotations

from antiphon import CommandFailed, WorkflowContext
from tests.workflow.messages import (
    AssessVehicle,
    BookVisit,
    MaintainVehicle,
    MaintenanceDecided,
    VehicleAssessed,
    VisitBooked,
)

VEHICLE = MaintainVehicle(vehicle_id="v1")
RISKY = VehicleAssessed(vehicle_id="v1", failure_probability=0.8)
BOOKED = VisitBooked(centre="north")
REFUSED = CommandFailed("failed", "no room", error_class="NoRoom", retryable=True)
DONE = MaintenanceDecided(action="done")


def decided(action: object) -> MaintenanceDecided:
    return MaintenanceDecided(action=str(action))


def assess() -> AssessVehicle:
    return AssessVehicle(vehicle_id="v1")


def book(vehicle: str = "v1") -> BookVisit:
    return BookVisit(vehicle_id=vehicle)


async def original(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
    """Two turns: a call, then two steps at once."""
    await ctx.call(book())
    await ctx.gather(ctx.call(book("v2")), ctx.sleep("1h"))
    return DONE
