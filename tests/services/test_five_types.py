"""All five types of the processors service: one way from submission to result, and no way for wrong parameters."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import jsonschema
import pytest

from antiphon.broker import Outgoing
from antiphon.cli.development import development
from antiphon.envelope import Origin, headers
from antiphon.settings import read_settings
from antiphon.topics import partition_of
from services.messages.processors import DataTransformed
from services.messages.tables import Row
from services.processors.app import app
from services.processors.tables import ROOM
from tests.processing.world import World

RULES = {"type": "object", "required": ["rpm"]}
ROWS = [{"rpm": 900}, {"rpm": 1100}]
RIGHT: dict[str, dict[str, Any]] = {
    "process_data": {"data": [1, 2, 3]},
    "analyze_content": {"text": "A good pump."},
    "generate_report": {"data_source": {"rows": ROWS}, "format": "csv"},
    "validate_input": {"data": {"rpm": 1}, "rules": RULES},
    "transform_data": {"rows": ROWS, "steps": [{"step": "limit", "rows": 1}]},
}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "process_data": ({"data": ["one"]}, "data.0"),
    "analyze_content": ({"text": "x", "analyses": ["mood"]}, "analyses.0"),
    "generate_report": ({"data_source": {"rows": ROWS}, "format": "pdf"}, "format"),
    "validate_input": ({"data": 1, "rules": []}, "rules"),
    "transform_data": ({"rows": ROWS, "steps": [{"step": "limit"}]}, "steps.0.limit.rows"),
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The gateway of everything in this process."""
    database = f"sqlite:///{tmp_path_factory.mktemp('five')}/status.sqlite3"
    settings = read_settings(database_url=database, port=0, metrics_port=0, partitions=2)
    with development([app], settings) as (url, _), httpx.Client(base_url=url, timeout=30) as client:
        yield client


def submit(gateway: httpx.Client, name: str, parameters: dict[str, Any]) -> httpx.Response:
    return gateway.post("/commands/submit", json={"command_type": name, "parameters": parameters})


@pytest.mark.promise("S0-13", "S0-22", "S0-23", "S0-24", "S0-25", "S0-26", "S0-30")
@pytest.mark.parametrize("name", RIGHT)
def test_a_command_leads_to_its_result_in_one_form_for_all(gateway: httpx.Client, name: str) -> None:
    accepted = submit(gateway, name, RIGHT[name])
    assert accepted.status_code == 202
    found = gateway.get(accepted.headers["location"], params={"wait": "20s"}).json()
    assert (found["status"], found["error"]) == ("completed", None)
    assert found["result"].keys() == {"processor", "response", "execution_time"}
    assert found["result"]["processor"] == name
    types = {one["command_type"]: one for one in gateway.get("/command-types").json()["command_types"]}
    jsonschema.validate(found["result"]["response"], types[name]["response"])
    jsonschema.validate(RIGHT[name], types[name]["parameters"])


@pytest.mark.promise("S0-47")
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_parameter_is_refused_at_the_edge_by_name(gateway: httpx.Client, name: str) -> None:
    parameters, field = WRONG[name]
    refused = submit(gateway, name, parameters)
    assert refused.status_code == 422
    assert f"parameters.{field}" in refused.text


@pytest.mark.promise("S0-47")
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_parameter_is_refused_by_the_consumer_too(name: str) -> None:
    """As another program may write it to the topic, past every gateway."""
    world = World(app)
    world.worker(app)
    world.serve()
    parameters, field = WRONG[name]
    world.send(written_by_others(world, name, parameters))
    world.until(lambda: bool(world.dead_letters()), "it is given up")
    (dead,) = world.dead_letters()
    assert (dead.failure.error_class, dead.attempts) == ("antiphon.errors.InvalidMessage", 1)
    assert field in dead.failure.message
    assert [end.status for end in world.settled()] == ["dead_lettered"]


def written_by_others(world: World, name: str, parameters: dict[str, Any]) -> Outgoing:
    """A command as JSON, which nobody has looked at."""
    kind, id_ = world.catalogue.commands[name], str(uuid4())
    found = headers("test", kind.type_name(), id_, world.clock.now(), Origin(id_))
    found = [(name, value) for name, value in found if name != "content-type"]
    partition = partition_of(id_.encode(), world.installation.partitions)
    value = json.dumps(parameters).encode()
    topic = world.names.commands("processors")
    return Outgoing(topic, partition, id_.encode(), value, [*found, ("content-type", b"application/json")])


@pytest.mark.parametrize(("more", "status"), [(0, "completed"), (1, "failed")])
def test_the_largest_answer_that_is_allowed_does_fit_into_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: int, status: str
) -> None:
    monkeypatch.setenv("ANTIPHON_FILES_DIR", str(tmp_path))
    texts = ["x" * 100_000] * 9
    most = read_settings().max_message_bytes - ROOM
    texts.append("x" * (most + more - size_of([*texts, ""])))
    (tmp_path / "x.csv").write_text("\n".join(["t", *texts]))
    world = World(app)
    world.worker(app)
    world.serve()
    steps = [{"step": "limit", "rows": 10}]
    world.send(written_by_others(world, "transform_data", {"source": "x.csv", "steps": steps}))
    world.until(lambda: bool(world.settled()), "it has ended")
    assert [end.status for end in world.settled()] == [status]
    assert [end.failure and end.failure.error_class for end in world.settled()] == [
        "antiphon.errors.Permanent" if more else None
    ]


def size_of(texts: Sequence[str]) -> int:
    """Bytes of the answer that holds these."""
    rows: list[Row] = [{"t": text} for text in texts]
    answer = DataTransformed(rows_in=len(rows), rows_out=len(rows), columns=["t"], rows=rows)
    return len(answer.model_dump_json())
