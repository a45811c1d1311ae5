"""Producers without a line of Antiphon: what they send takes effect once and is answered."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from uuid import uuid4

import pytest

from deploy.kafka.run import install, java
from tests.integration.apps import Account, Deposited
from tests.integration.auditor import Auditor
from tests.integration.cluster import ROOT, Cluster, Sent, many
from tests.integration.foreign import GOOD, REPLIES, TYPE, Answers, ForeignProducer, avro
from tests.integration.foreign_client import DEPOSIT

HELD = {**DEPOSIT, "fields": [*DEPOSIT["fields"][:2], {"name": "note", "type": "string"}]}

# odd, but no reason to refuse anything
ODD: dict[str, dict[str, bytes]] = {
    "id of no text": {"ce_id": b"\xff\xfe"},
    "trace of no text": {"traceparent": b"\xff\xfe"},
    "empty headers": {"ce_correlationid": b"?", "ce_subject": b"", "ce_tags": b"\xff"},
}


@pytest.mark.timeout(120)
@pytest.mark.promise("S0-45", "S2-24")
def test_a_plain_kafka_client_with_avro_by_hand_gets_every_command_done_once_and_answered(
    cluster: Cluster, auditor: Auditor
) -> None:
    commands = 90
    options = ["--bootstrap", cluster.bootstrap_servers, "--prefix", cluster.names.prefix, "--commands", str(commands)]
    program = [sys.executable, "-m", "tests.integration.foreign_client", *options]
    done = subprocess.run(program, cwd=ROOT, check=False, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert len(answers) == commands
    auditor.read_to_ends()
    assert [[end.status for end in ends] for ends in auditor.settled.values()] == [["completed"]] * commands
    published = [found.event for found in auditor.events[Deposited]]
    answered = [Deposited(**fields) for ((kind, fields),) in answers.values() if kind == Deposited.type_name()]
    assert Counter(published) == Counter(answered)
    assert sorted(event.number for event in published if isinstance(event, Deposited)) == list(range(commands))
    kept = [
        Account.model_validate_json(value) for key, value in auditor.state("accounts").items() if b"/Account/" in key
    ]
    assert [(account.deposits, account.total) for account in kept] == [(commands // 5, commands // 5)] * 5
    assert auditor.dead_letters == []


@pytest.mark.timeout(120)
@pytest.mark.promise("S0-45", "S0-47")
def test_the_console_producer_of_kafka_sends_commands_as_json(cluster: Cluster, auditor: Auditor) -> None:
    sent = [Sent(str(uuid4()), f"console-{number}", 1) for number in range(40)]
    answers = Answers(cluster)
    _produce_on_the_console(cluster, [_console_line(cluster, each, keyed=n % 2 == 0) for n, each in enumerate(sent)])
    auditor.until_settled(sent)
    auditor.expect_exactly_once(sent)
    auditor.until(lambda: len(answers.read()) == len(sent), "all are answered")
    assert {token: [event.account for event in found] for token, found in answers.found.items()} == {  # type: ignore[attr-defined]
        each.id: [each.account] for each in sent
    }
    answers.close()


def _console_line(cluster: Cluster, sent: Sent, *, keyed: bool) -> str:
    headers = {
        "ce_type": TYPE,
        "content-type": "application/json",
        "ce_id": sent.id,
        "ce_replyto": f"{cluster.names.replies}/{REPLIES}",
        "ce_replytoken": sent.id,
    }
    fields = json.dumps({"account": sent.account, "number": sent.number})
    return "\t".join([",".join(map("=".join, headers.items())), sent.account if keyed else "NULL", fields])


def _produce_on_the_console(cluster: Cluster, lines: list[str]) -> None:
    install()
    reader = {"parse.headers": "true", "parse.key": "true", "headers.key.separator": "=", "null.marker": "NULL"}
    arguments = ["--bootstrap-server", cluster.bootstrap_servers, "--topic", cluster.names.commands("accounts")]
    arguments += [part for option in reader.items() for part in ("--reader-property", "=".join(option))]
    program = ("org.apache.kafka.tools.ConsoleProducer", "-Xmx128m", "-XX:TieredStopAtLevel=1")
    subprocess.run(
        java(program, arguments, record=False),
        input="\n".join(lines), text=True, check=True, capture_output=True, timeout=60,
    )  # fmt: skip


def test_odd_headers_are_no_reason_to_refuse_a_command(cluster: Cluster, auditor: Auditor) -> None:
    producer, answers = ForeignProducer(cluster), Answers(cluster)
    for name, headers in ODD.items():
        for _ in range(2):  # the second one of an id is answered from what is kept
            producer.command(name, "account-0", GOOD, **headers)
    producer.flush()
    auditor.until(lambda: all(len(answers.read()[name]) == 2 for name in ODD), "all are answered, repeats too")
    auditor.read_to_ends()
    assert [[end.status for end in ends] for ends in auditor.settled.values()] == [["completed"]] * len(ODD)
    assert auditor.dead_letters == []
    answers.close()


def test_a_repeat_with_another_reply_address_gets_its_outcome_only_where_answers_may_go(
    cluster: Cluster, auditor: Auditor
) -> None:
    producer, answers, same = ForeignProducer(cluster), Answers(cluster), {"ce_id": str(uuid4()).encode()}
    producer.command("first", "account-0", GOOD, **same)
    producer.flush()
    auditor.until(lambda: len(answers.read()["first"]) == 1, "the first one is answered")
    for name, address in {"strange": "state.accounts/0", "malformed": "replies", "absent": "replies/99"}.items():
        producer.command(name, "account-0", GOOD, ce_replyto=f"{{prefix}}{address}".encode(), **same)
    producer.command("last", "account-0", GOOD, **same)
    producer.flush()
    auditor.until(lambda: len(answers.read()["last"]) == 1, "the last one is answered")
    auditor.read_to_ends()
    assert [[end.status for end in ends] for ends in auditor.settled.values()] == [["completed"]]
    assert answers.found.keys() == {"first", "last"}
    assert auditor.dead_letters == []
    answers.close()


@pytest.mark.timeout(120)
def test_a_command_whose_schema_nobody_has_announced_yet_is_held_and_then_handled(
    cluster: Cluster, auditor: Auditor
) -> None:
    producer, accounts = ForeignProducer(cluster), many(4)
    held = [Sent(str(uuid4()), f"held-{number}", 1) for number in range(4)]
    for number, each in enumerate(held):
        value = avro(HELD, {"account": each.account, "number": 1, "note": "from a newer producer"})
        producer.command(each.id, each.account if number % 2 else None, value, ce_id=each.id.encode())
    producer.flush()
    sent = cluster.deposit(accounts, rounds=5)
    auditor.until_settled(sent)
    assert not {each.id for each in held} & auditor.settled.keys()
    producer.announce(HELD)
    auditor.until_settled(held)
    auditor.expect_exactly_once(sent + held)
