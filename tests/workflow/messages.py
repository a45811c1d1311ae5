"""The messages of the workflows under test."""

from __future__ import annotations

from antiphon import Command, Event, Reply


class VehicleAssessed(Event, family="analysis"):
    vehicle_id: str
    failure_probability: float


class AssessVehicle(Command[VehicleAssessed], service="analysis", key="vehicle_id"):
    vehicle_id: str
    oil_pressure_kpa: float = 90.0


class VisitBooked(Reply):
    centre: str


class BookVisit(Command[VisitBooked], service="scheduling"):
    vehicle_id: str


class CancelVisit(Command, service="scheduling"):
    vehicle_id: str


class NoteVisit(Command, service="scheduling"):
    vehicle_id: str


class CustomerAgreed(Event, family="engagement"):
    customer: str


class CustomerDeclined(Event, family="engagement"):
    customer: str


class MaintenanceDecided(Event, family="maintenance"):
    action: str


class MaintainVehicle(Command[MaintenanceDecided], service="maintenance"):
    vehicle_id: str
    left: int = 0
