"""A load of known counts: what is sent to the foundry and the processors, and what must be counted of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
from confluent_kafka import Producer

from antiphon.topics import partition_of
from tests.e2e.deployment import PARTITIONS, Deployment, submit
from tests.monitoring.foundry.app import Cast

COMMANDS = {"cast": 200, "crack": 30, "remelt": 20, "anneal": 5, "heat": 1, "batch": 10, "exhibition": 3, "flawed": 2}
SCHEDULED, TWICE, ELSEWHERE, BROKEN, STRANGE, REFUSED, DECLARED, COMPUTED = 2, 5, 2, 4, 3, 6, 4, 5
STEPS = 2 * COMMANDS["batch"]  # castings that the workflows ask for
CASTINGS = COMMANDS["cast"] + STEPS + SCHEDULED + TWICE + ELSEWHERE
TOPIC = "commands.foundry"
HELD = 17  # castings that wait while the foundry is paused
DUE = 1.5  # seconds


def put_on(deployment: Deployment, http: httpx.Client) -> None:
    """Send all of it."""
    declare(http)
    for kind, amount in COMMANDS.items():
        for number in range(amount):
            taken(submit(http, kind, {"mould": f"{kind}-{number}"}))
    later = (datetime.now(UTC) + timedelta(seconds=DUE)).isoformat()
    for number in range(SCHEDULED):
        body = {"command_type": "cast", "parameters": {"mould": f"later-{number}"}, "metadata": {"not_before": later}}
        taken(http.post("/commands/submit", json=body))
    for number in range(DECLARED):
        taken(submit(http, "paint", {"colour": f"red {number}"}))
    for number in range(COMPUTED):
        taken(submit(http, "process_data", {"data": [number, 1]}))
    for _ in range(REFUSED):
        assert submit(http, "cast", {}).status_code == 422
    write_raw(deployment)


def declare(http: httpx.Client) -> None:
    """A command type and its processor."""
    http.post("/command-types", json={"name": "paint", "parameters": {"type": "object"}}).raise_for_status()
    painter = {"name": "painter", "command_types": ["paint"], "instructions": "Paint."}
    http.post("/processors/create", json=painter).raise_for_status()


def taken(answer: httpx.Response) -> None:
    """It is accepted, or this is an AssertionError."""
    assert answer.status_code == 202, answer.text


def write_raw(deployment: Deployment) -> None:
    """What no gateway would write: the same id twice, the wrong partition, broken and unknown records."""
    producer = Producer({"bootstrap.servers": deployment.settings.bootstrap_servers})
    topic = deployment.settings.prefix + TOPIC

    def write(key: str, value: bytes, id_: str, more: Mapping[str, Any]) -> None:
        headers = {"ce_type": Cast.type_name(), "ce_id": id_, "content-type": "application/json", **more}
        producer.produce(topic, value, key.encode(), more.get("at", home(key)), headers=dict(headers, at=b""))

    for number in range(TWICE):
        id_ = str(uuid4())
        for _ in range(2):
            write(f"twice-{number}", mould(f"twice-{number}"), id_, {})
    for number in range(ELSEWHERE):
        key = f"elsewhere-{number}"
        write(key, mould(key), str(uuid4()), {"at": (home(key) + 1) % PARTITIONS})
    for number in range(BROKEN):
        write(f"broken-{number}", b'{"mould": 7}', str(uuid4()), {})
    for number in range(STRANGE):
        write(f"strange-{number}", b"{}", str(uuid4()), {"ce_type": "foundry.Sculpt"})
    assert producer.flush(20) == 0


def home(key: str) -> int:
    """The partition of a key."""
    return partition_of(key.encode(), PARTITIONS)


def mould(name: str) -> bytes:
    """A casting as JSON."""
    return f'{{"mould": "{name}"}}'.encode()


CONSUMED = f'antiphon_messages_consumed_total{{topic=~".*{TOPIC}"'
REQUESTS = 'http_server_request_duration_seconds_count{http_route="/commands/submit"'
DONE = 'outcome="completed"'

# what Prometheus must show: query -> value
TRUTH: dict[str, float] = {
    f"{CONSUMED}, {DONE}, message_type='{Cast.type_name()}'}}": CASTINGS,
    f'{CONSUMED}, outcome="failed"}}': COMMANDS["crack"],
    f'{CONSUMED}, outcome="timed_out"}}': COMMANDS["anneal"],
    f'antiphon_message_latency_seconds_count{{topic=~".*{TOPIC}"}}': CASTINGS
    - SCHEDULED
    + sum(COMMANDS[kind] for kind in ("crack", "remelt", "anneal"))
    + BROKEN,
    'antiphon_dead_letters_total{reason="failed"}': COMMANDS["crack"],
    'antiphon_dead_letters_total{reason="timeout"}': COMMANDS["anneal"],
    'antiphon_dead_letters_total{reason="invalid-message"}': BROKEN,
    'antiphon_deserialization_failures_total{reason="invalid-message"}': BROKEN,
    'antiphon_deserialization_failures_total{reason="unknown-type"}': STRANGE,
    'antiphon_handler_retries_total{handler="remelt"}': COMMANDS["remelt"],
    'antiphon_handler_timeouts_total{handler="anneal"}': COMMANDS["anneal"],
    'antiphon_handler_duration_seconds_count{handler="cast", outcome="succeeded"}': CASTINGS,
    'antiphon_handler_capacity{handler="crack"}': 32,
    'antiphon_handler_running{service="foundry"}': 0,
    f'antiphon_duplicates_skipped_total{{topic=~".*{TOPIC}"}}': TWICE,
    f'antiphon_messages_forwarded_total{{topic=~".*{TOPIC}"}}': ELSEWHERE,
    "antiphon_workflows_started_total": sum(COMMANDS[kind] for kind in ("batch", "exhibition", "flawed")),
    f'antiphon_workflows_ended_total{{workflow="batch", {DONE}}}': COMMANDS["batch"],
    f'antiphon_workflow_duration_seconds_count{{workflow="batch", {DONE}}}': COMMANDS["batch"],
    "antiphon_workflows_parked_total": COMMANDS["flawed"],
    "max(antiphon_workflows_active{workflow='exhibition'})": COMMANDS["exhibition"],
    "max(antiphon_workflows_stuck{workflow='flawed'})": COMMANDS["flawed"],
    "max(antiphon_timers_pending{workflow='exhibition'})": COMMANDS["exhibition"],
    'antiphon_timer_delay_seconds_count{kind="timer"}': COMMANDS["batch"],
    'antiphon_timer_delay_seconds_count{kind="agenda"}': SCHEDULED,
    'antiphon_waiting_in_state{service="foundry"}': COMMANDS["heat"],
    'antiphon_breaker_state{dependency="furnace"}': 2,
    'antiphon_slices{service="foundry", phase="serving"}': PARTITIONS,
    'antiphon_commands_submitted_total{command_type="cast"}': COMMANDS["cast"] + SCHEDULED,
    f'{REQUESTS}, http_response_status_code="202"}}': sum(COMMANDS.values()) + SCHEDULED + DECLARED + COMPUTED,
    f'{REQUESTS}, http_response_status_code="422"}}': REFUSED,
    'antiphon_processor_commands_total{processor="painter"}': DECLARED,
    'antiphon_llm_request_duration_seconds_count{model="scripted", outcome="answered"}': DECLARED,
    "antiphon_projection_lag_seconds": 0,
    "antiphon_outbox_overdue": 0,
}
