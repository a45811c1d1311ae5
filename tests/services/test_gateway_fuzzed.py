"""Whatever is sent to the gateway, it keeps to the interface that it describes and never fails itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings, strategies
from hypothesis.errors import Unsatisfiable
from schemathesis import BaseSchema, Case, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from antiphon.cli.development import development
from antiphon.settings import read_settings
from services.processors.app import app as processors
from tests.waiting import until

# the same requests in every run
QUICKLY = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)

VALID = {"command_type": "process_data", "parameters": {"data": [1, 2]}}
KNOWN: list[dict[str, Any]] = [{}, {"command_type": "process_data"}, VALID, VALID]


@dataclass(frozen=True)
class Gateway:
    """What the gateway says of itself, and what it knows."""

    description: BaseSchema
    command_ids: list[str]
    letter_ids: list[str]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway on loopback, with its client, the embedded broker, a worker, the read side and two ended commands."""
    folder = tmp_path_factory.mktemp("fuzzed")
    chosen = read_settings(
        port=0, metrics_port=0, partitions=2, database_url=f"sqlite:///{folder}/status.sqlite3", files_dir=folder
    )
    with development([processors], chosen) as (url, _), httpx.Client(base_url=url, timeout=40) as http:
        known = [ended(http, data=[1, 2]), ended(http, data=[1], columns=["nowhere"])]
        yield Gateway(schemathesis.openapi.from_url(f"{url}/openapi.json"), known, given_up(http))


def ended(http: httpx.Client, **parameters: object) -> str:
    """The id of a command that has ended."""
    body = {"command_type": "process_data", "parameters": parameters, "metadata": {"tags": {"team": "blue"}}}
    command_id = str(http.post("/commands/submit", json=body).json()["command_id"])
    assert http.get(f"/commands/{command_id}", params={"wait": "30s"}).json()["status"] in ("completed", "failed")
    return command_id


def given_up(http: httpx.Client) -> list[str]:
    """The id of the one dead letter, once the read side shows it."""

    def letters() -> list[str]:
        return [letter["letter_id"] for letter in http.get("/dead-letters").json()["dead_letters"]]

    until(lambda: len(letters()) == 1, "the dead letter is listed")
    return letters()


def brought_home(case: Case[Any], known: dict[str, Any], command_id: str | None, letter_id: str | None) -> Case[Any]:
    """Chance alone never names a type or an id that exists: with these it gets behind the first check."""
    if isinstance(case.body, dict):
        case.body.update(known)
    if command_id is not None and "command_id" in case.path_parameters:
        case.path_parameters["command_id"] = command_id
    if letter_id is not None and "letter_id" in case.path_parameters:
        case.path_parameters["letter_id"] = letter_id
    return case


def excluded(case: Case[Any]) -> list[Any]:
    """What a schema cannot say (a type that exists, a duration) is refused with 422, as described; and in a query
    everything is text, also what was meant to be of a wrong type."""
    return [positive_data_acceptance, *([] if case.operation.body else [negative_data_rejection])]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_no_request_makes_the_gateway_fail_or_break_its_interface(
    gateway: Gateway, mode: GenerationMode, subtests: pytest.Subtests
) -> None:
    ids = strategies.sampled_from([None, *gateway.command_ids])
    letters = strategies.sampled_from([None, *gateway.letter_ids])
    # where the request is to be wrong, it stays so
    bodies = strategies.sampled_from(KNOWN if mode is GenerationMode.POSITIVE else [{}])
    asked: set[str] = set()
    described = list(gateway.description.get_all_operations())
    operations = [found.ok() for found in described if isinstance(found, Ok)]
    assert len(operations) == len(described), "every operation is described so that requests can be made of it"
    for operation in operations:

        @given(operation.as_strategy(generation_mode=mode), bodies, ids, letters)
        @QUICKLY
        def answered_as_described(
            case: Case[Any], known: dict[str, Any], command_id: str | None, letter_id: str | None
        ) -> None:
            asked.add(case.operation.label)
            brought_home(case, known, command_id, letter_id).call_and_validate(excluded_checks=excluded(case))

        with subtests.test(operation.label), contextlib.suppress(Unsatisfiable):  # where anything goes nothing is wrong
            answered_as_described()
    wrong_is_possible = {found.label for found in operations if found.query or found.body}
    assert asked >= ({found.label for found in operations} if mode is GenerationMode.POSITIVE else wrong_is_possible)
