"""A durable workflow: one function follows a vehicle's reading from its analysis to the customer's feedback.

The function `maintain` calls the services one after another and waits for a person in between, for days if need be.
Each thing that it is told is a turn, written down in the transaction that sends what follows from it; so it goes on
where it was after any crash, and nothing is asked for twice. What it decides by is data, what undoes a visit is
declared once, and whoever does not answer in two days is rung up later.
The same apps run on Kafka as they are, each in a process of its own.

Here a workshop hears of three vehicles. Run it: python libs/antiphon/examples/vehicle_maintenance.py
"""

from __future__ import annotations

from typing import Literal

from antiphon import (
    App,
    Command,
    CommandFailed,
    Context,
    Event,
    Permanent,
    Platform,
    Reply,
    WorkflowContext,
    WorkflowTimeout,
)

RULE = {"engage": 0.3, "urgent": 0.7}  # probabilities of a failure from which the customer is asked, and at once
Urgency = Literal["normal", "high"]


class VehicleAssessed(Event, family="analysis"):
    finding: str
    failure_probability: float


class Assess(Command[VehicleAssessed], service="analysis"):
    oil_pressure_kpa: float
    vibration_mm: float


class CustomerAnswered(Event, family="engagement"):
    agrees: bool


class Engage(Command, service="engagement"):
    vehicle_id: str
    finding: str


class VisitBooked(Reply):
    centre: str


class BookVisit(Command[VisitBooked], service="scheduling"):
    vehicle_id: str
    urgency: Urgency


class CancelVisit(Command, service="scheduling"):
    vehicle_id: str


class RepairVehicle(Command, service="scheduling"):
    vehicle_id: str
    centre: str


class VehicleMaintained(Event, family="maintenance"):
    outcome: str


class Maintain(Command[VehicleMaintained], service="maintenance"):
    vehicle_id: str
    oil_pressure_kpa: float
    vibration_mm: float


analysis, engagement, scheduling, maintenance = map(App, ("analysis", "engagement", "scheduling", "maintenance"))


@analysis.command()
def assess(command: Assess, ctx: Context) -> VehicleAssessed:
    if command.oil_pressure_kpa < 100:
        return VehicleAssessed(finding="critical oil pressure", failure_probability=0.9)
    if command.vibration_mm > 2:
        return VehicleAssessed(finding="possible engine issue", failure_probability=0.5)
    return VehicleAssessed(finding="all is well", failure_probability=0.1)


@engagement.command()
def engage(command: Engage, ctx: Context) -> None:
    print(f"  {command.vehicle_id}: the customer is told of {command.finding}")
    ctx.publish(CustomerAnswered(agrees=True))  # in truth: published by whatever takes the customer's call


@scheduling.command()
def book(command: BookVisit, ctx: Context) -> VisitBooked:
    print(f"  {command.vehicle_id}: a visit is booked, {command.urgency} urgency")
    return VisitBooked(centre="north")


@scheduling.command()
def cancel(command: CancelVisit, ctx: Context) -> None:
    print(f"  {command.vehicle_id}: the visit is cancelled")


@scheduling.command()
def repair(command: RepairVehicle, ctx: Context) -> None:
    if command.vehicle_id == "v-3":
        raise Permanent("there is no oil pump in stock")


@maintenance.workflow(timeout="30d", signals=[CustomerAnswered])
async def maintain(command: Maintain, ctx: WorkflowContext) -> VehicleMaintained:
    reading = Assess(oil_pressure_kpa=command.oil_pressure_kpa, vibration_mm=command.vibration_mm)
    assessed = await ctx.call(reading, timeout="60s")
    if assessed.failure_probability <= RULE["engage"]:
        return VehicleMaintained(outcome=assessed.finding)
    urgency: Urgency = "high" if assessed.failure_probability > RULE["urgent"] else "normal"
    ctx.set_status(f"asking the customer about {assessed.finding}")
    ctx.send(Engage(vehicle_id=command.vehicle_id, finding=assessed.finding), priority=urgency)
    try:
        answered = await ctx.signal(CustomerAnswered, timeout="2d")
    except WorkflowTimeout:
        return VehicleMaintained(outcome="to be rung up")
    if not answered.agrees:
        return VehicleMaintained(outcome="declined")
    ctx.compensate(CancelVisit(vehicle_id=command.vehicle_id))
    visit = await ctx.call(BookVisit(vehicle_id=command.vehicle_id, urgency=urgency), priority=urgency)
    ctx.set_status(f"in the workshop, {visit.centre}")
    await ctx.sleep("50ms")  # in truth: until the day of the visit
    await ctx.call(RepairVehicle(vehicle_id=command.vehicle_id, centre=visit.centre))
    return VehicleMaintained(outcome=f"repaired at {visit.centre}: {assessed.finding}")


def main() -> None:
    readings = {"v-1": (250.0, 0.4), "v-2": (240.0, 3.1), "v-3": (60.0, 0.5)}
    with Platform(maintenance, analysis, engagement, scheduling).sync() as platform:
        for vehicle, (pressure, vibration) in readings.items():
            command = Maintain(vehicle_id=vehicle, oil_pressure_kpa=pressure, vibration_mm=vibration)
            try:
                print(f"{vehicle}: {platform.execute(command, timeout='20s').outcome}")
            except CommandFailed as failed:
                print(f"{vehicle}: {failed}")


if __name__ == "__main__":
    main()
