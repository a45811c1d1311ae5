"""Whatever is sent to the gateway, it keeps to the interface that it describes and never fails itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
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

from antiphon import App, Command, Event, WorkflowContext
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


class Agreed(Event, family="fuzzing"):
    text: str


class Ask(Command, service="asking"):
    text: str = ""


def asking() -> App:
    app = App("asking")

    @app.workflow()
    async def ask(command: Ask, ctx: WorkflowContext) -> None:
        await ctx.approval("Go on?", proposal=command)
        await ctx.signal(Agreed)

    return app


@dataclass(frozen=True)
class Gateway:
    """What the gateway says of itself, and what it knows."""

    description: BaseSchema
    command_ids: list[str]
    letter_ids: list[str]
    instance_ids: list[str]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway on loopback, with its client, the embedded broker, a worker, the read side and two ended commands."""
    folder = tmp_path_factory.mktemp("fuzzed")
    chosen = read_settings(
        port=0, metrics_port=0, partitions=2, database_url=f"sqlite:///{folder}/status.sqlite3", files_dir=folder
    )
    with development([processors, asking()], chosen) as (url, _), httpx.Client(base_url=url, timeout=40) as http:
        known = [ended(http, data=[1, 2]), ended(http, data=[1], columns=["nowhere"])]
        yield Gateway(schemathesis.openapi.from_url(f"{url}/openapi.json"), known, given_up(http), begun(http))


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


def begun(http: httpx.Client) -> list[str]:
    """The ids of instances that wait for somebody."""
    for _ in range(8):
        assert http.post("/commands/submit", json={"command_type": "ask"}).status_code == 202

    def waiting() -> list[str]:
        return [each["instance_id"] for each in http.get("/workflows?status=waiting").json()["workflows"]]

    until(lambda: len(waiting()) == 8, "all of them wait", seconds=30)
    return waiting()


def brought_home(case: Case[Any], known: dict[str, Any], ids: Mapping[str, str | None]) -> Case[Any]:
    """Chance alone never names a type or an id that exists: with these it gets behind the first check."""
    if isinstance(case.body, dict) and case.path.startswith("/commands"):
        case.body.update(known)
    case.path_parameters.update({name: id_ for name, id_ in ids.items() if id_ and name in case.path_parameters})
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
    there_are = {
        "command_id": gateway.command_ids,
        "letter_id": gateway.letter_ids,
        "instance_id": gateway.instance_ids,
    }
    ids = strategies.fixed_dictionaries({name: strategies.sampled_from([None, *of]) for name, of in there_are.items()})
    # where the request is to be wrong, it stays so
    bodies = strategies.sampled_from(KNOWN if mode is GenerationMode.POSITIVE else [{}])
    asked: set[str] = set()
    described = list(gateway.description.get_all_operations())
    operations = [found.ok() for found in described if isinstance(found, Ok)]
    assert len(operations) == len(described), "every operation is described so that requests can be made of it"
    for operation in operations:

        @given(operation.as_strategy(generation_mode=mode), bodies, ids)
        @QUICKLY
        def answered_as_described(case: Case[Any], known: dict[str, Any], ids: Mapping[str, str | None]) -> None:
            asked.add(case.operation.label)
            brought_home(case, known, ids).call_and_validate(excluded_checks=excluded(case))

        with subtests.test(operation.label), contextlib.suppress(Unsatisfiable):  # where anything goes nothing is wrong
            answered_as_described()
    wrong_is_possible = {found.label for found in operations if found.query or found.body}
    assert asked >= ({found.label for found in operations} if mode is GenerationMode.POSITIVE else wrong_is_possible)
