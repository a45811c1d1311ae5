"""What the commands of a load say."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, constr

from antiphon import Command
from antiphon.errors import MessageError
from antiphon.load.payloads import Payloads, example, templates_of


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Wheel(BaseModel):
    inches: float = Field(ge=14, le=22)


class BuildCar(Command, service="garage", key="car"):
    car: str
    id: UUID
    at: datetime
    colour: Colour
    doors: int = Field(gt=2)
    wheels: list[Wheel] = Field(min_length=4)
    kind: Literal["van", "bus"]
    maybe: int | None
    plate: constr(min_length=5, max_length=9)  # type: ignore[valid-type]
    note: str = "none"
    seats: int = Field(5, examples=[7])


def test_made_parameters_fit_every_class_of_field() -> None:
    payloads = Payloads([example(BuildCar.model_json_schema())], keys=10)
    cars = [BuildCar.model_validate(payloads.parameters(number)) for number in range(100)]
    assert len({car.car for car in cars}) == 10, "keys differ, so that the load reaches every partition"
    assert len({car.id for car in cars}) == 100
    assert (cars[0].doors, len(cars[0].wheels), cars[0].note, cars[0].kind) == (3, 4, "none", "van")


def test_a_template_is_filled_in_anew_for_each_command() -> None:
    payloads = Payloads(templates_of('{"a": "$n", "b": ["car $key of $n", 7], "c": {"d": "$$5 and $other"}}'), keys=3)
    assert payloads.parameters(4) == {"a": 4, "b": ["car 1 of 4", 7], "c": {"d": "$5 and $other"}}
    assert payloads.parameters(5)["b"][0] == "car 2 of 5"


def test_several_templates_take_turns() -> None:
    payloads = Payloads(templates_of('[{"a": 1}, {"a": "$n"}]'), keys=3)
    assert [payloads.parameters(number)["a"] for number in range(4)] == [1, 1, 1, 3]


@pytest.mark.parametrize("text", ["{", "[]", "7", '[{"a": 1}, 2]'])
def test_what_is_no_payload_is_refused(text: str) -> None:
    with pytest.raises(MessageError, match="payload"):
        templates_of(text)


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"properties": {"a": {"type": "string", "pattern": "^x$"}}, "required": ["a"]}, "a can be made up"),
        ({"properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "refers to"),
        ({"properties": {"a": {"$ref": "#/$defs/B"}}, "required": ["a"]}, "#/\\$defs/B"),
        ({"type": "string"}, "JSON object"),
    ],
)
def test_what_cannot_be_made_up_is_said(schema: dict[str, Any], told: str) -> None:
    with pytest.raises(MessageError, match=told):
        example(schema)
