"""Commands, events and replies: what an author's class declares and refuses."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from antiphon import Command, ConfigurationError, Event, Message, Reply
from antiphon.messages import command_name, invalid


class VehicleAssessed(Event, family="analysis", key="vehicle_id"):
    vehicle_id: str
    risk: float


class Booked(Reply):
    centre: str


class AssessVehicle(Command[VehicleAssessed], service="analysis", key="vehicle_id"):
    vehicle_id: str
    pressures: list[float]


class AssessTruck(AssessVehicle):
    axles: int


class BookVisit(Command["Booked"], service="scheduling"):
    vehicle_id: str


class CancelVisit(Command, service="scheduling"):
    vehicle_id: str


class Repaired(VehicleAssessed, family="repairs"):
    pass


@pytest.mark.promise("S0-01", "S2-01", "S2-12")
def test_a_type_is_named_after_service_or_family_and_class() -> None:
    assert AssessVehicle.type_name() == "antiphon.analysis.AssessVehicle"
    assert VehicleAssessed.type_name() == "antiphon.analysis.VehicleAssessed"
    assert Booked.type_name() == "antiphon.replies.Booked"


@pytest.mark.parametrize(
    ("command", "reply"),
    [(AssessVehicle, VehicleAssessed), (AssessTruck, VehicleAssessed), (BookVisit, Booked), (CancelVisit, None)],
)
def test_a_command_declares_its_reply(command: type[Command], reply: type[Message] | None) -> None:
    assert command.reply_type() is reply


def test_a_reply_that_is_nowhere_defined_is_named() -> None:
    class Ask(Command["Nobody"], service="asking"):  # type: ignore[name-defined]
        pass

    with pytest.raises(ConfigurationError, match="'Nobody'"):
        Ask.reply_type()


def test_service_family_and_key_are_inherited() -> None:
    assert (AssessTruck.service, AssessTruck.key_field) == ("analysis", "vehicle_id")
    assert (Repaired.family, Repaired.key_field) == ("repairs", "vehicle_id")


def test_a_misspelt_keyword_fails_where_it_stands() -> None:
    with pytest.raises(TypeError, match="servce"):

        class Misspelt(Command, servce="analysis"):
            pass


@pytest.mark.promise("S2-18")
def test_a_message_cannot_be_changed() -> None:
    booked = Booked(centre="north")
    with pytest.raises(ValidationError, match="frozen"):
        booked.centre = "south"


@pytest.mark.promise("S2-21", "S0-01")
def test_a_message_is_validated_when_it_is_made_and_names_what_is_wrong() -> None:
    with pytest.raises(ValidationError) as caught:
        AssessVehicle.model_validate({"vehicle_id": 7, "pressures": [1, "two"], "colour": "red"})
    error = invalid(AssessVehicle, caught.value)
    assert set(error.fields) == {"vehicle_id", "pressures.1", "colour"}
    assert "AssessVehicle is not valid" in str(error)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("ProcessData", "process_data"), ("ReadHTTPPage", "read_http_page"), ("Go2Mars", "go2_mars"), ("Run", "run")],
)
def test_people_call_a_command_by_its_name_in_snake_case(name: str, expected: str) -> None:
    assert command_name(type(name, (Command,), {}, service="any")) == expected
