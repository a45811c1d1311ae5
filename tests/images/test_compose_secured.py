"""The variant with passwords and access rights: everything works, and nobody may do what is not theirs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.e2e.deployment import ended, submit
from tests.images.composed import Composed
from tests.images.engine import Engine
from tests.waiting import until

COMMANDS, STATE, LIFECYCLE = "antiphon.commands.processors", "antiphon.state.processors", "antiphon.lifecycle"


@pytest.fixture(scope="module")
def secured(engine: Engine, production: str, kafka_image: str, postgres_image: str) -> Iterator[Composed]:
    with Composed(engine, "antiphon-secured", "deploy/compose/secured.yml") as composed:
        yield composed


def connection(secured: Composed, user: str) -> dict[str, str | int | float | bool]:
    """How this user connects from outside, with the password that the file gives it."""
    return {
        "bootstrap.servers": secured.bootstrap_servers,
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": user,
        "sasl.password": f"{user}-on-a-laptop",
    }


def read(secured: Composed, user: str, topic: str) -> KafkaError | None:
    """What becomes of reading a topic's first record; None if it may be read."""
    settings = {"group.id": f"antiphon.{user}", "enable.partition.eof": True, "auto.offset.reset": "earliest"}
    consumer = Consumer(connection(secured, user) | settings)
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        message = consumer.poll(20)
        assert message is not None, f"{user} hears nothing of {topic}"
        error = message.error()
        return None if error is None or error.code() == KafkaError._PARTITION_EOF else error
    finally:
        consumer.close()


def write(secured: Composed, user: str, topic: str) -> KafkaError | None:
    """What becomes of writing to a topic; None if it may be written."""
    told: list[KafkaError | None] = []
    producer = Producer(connection(secured, user) | {"message.timeout.ms": 15_000})
    producer.produce(topic, b"{}", on_delivery=lambda error, _: told.append(error))
    until(lambda: producer.flush(0.2) == 0, "the record is delivered or refused", 20)
    return told[0]


@pytest.mark.promise("S4-62")
def test_commands_are_carried_out_where_everybody_is_a_user_with_rights_of_its_own(secured: Composed) -> None:
    with secured.http() as http:
        found = ended(http, submit(http, "process_data", {"source": "file:cold_start.csv"}))
        assert found["status"] == "completed", found
        failed = ended(http, submit(http, "process_data", {"source": "file:none.csv"}))
        assert failed["error"]["code"] == "failed"
        assert http.post("/processors/preset/validator").status_code in (200, 201, 202)
        until(lambda: bool(http.get("/dead-letters").json()["dead_letters"]), "the read side shows its dead letter")


def test_each_user_may_do_what_it_has_to_and_nothing_else(secured: Composed) -> None:
    refused = {
        ("read", "gateway", STATE): read(secured, "gateway", STATE),
        ("read", "gateway", LIFECYCLE): read(secured, "gateway", LIFECYCLE),
        ("read", "processors", LIFECYCLE): read(secured, "processors", LIFECYCLE),
        ("write", "status", COMMANDS): write(secured, "status", COMMANDS),
        ("write", "gateway", STATE): write(secured, "gateway", STATE),
        ("write", "gateway", LIFECYCLE): write(secured, "gateway", LIFECYCLE),
    }
    for what, error in refused.items():
        assert error is not None, f"{what} is allowed"
        assert error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED, (what, error)
    assert read(secured, "processors", COMMANDS) is None
    assert read(secured, "status", LIFECYCLE) is None
    assert write(secured, "gateway", "antiphon.cancels") is None


def test_who_has_no_password_or_a_wrong_one_is_not_let_in(secured: Composed) -> None:
    nobody: dict[str, str | int | float | bool] = {"bootstrap.servers": secured.bootstrap_servers}
    wrong = connection(secured, "gateway") | {"sasl.password": "guessed"}
    for settings in (nobody, wrong):
        with pytest.raises(KafkaException):
            AdminClient({**settings, "log_level": 0}).list_topics(timeout=5)
    assert COMMANDS in AdminClient(connection(secured, "gateway")).list_topics(timeout=20).topics
