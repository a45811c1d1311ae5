"""Commands that are broken, each in its own way: each gets its own answer and dead letter, and disturbs no other."""

from __future__ import annotations

import pytest

from antiphon.envelope import uuid_of
from antiphon.lifecycle import CommandHasFailed, DeadLetter, Refused
from tests.integration.auditor import Auditor
from tests.integration.cluster import Cluster, many
from tests.integration.foreign import FIELDS, GOOD, Answers, ForeignProducer, avro
from tests.integration.foreign_client import DEPOSIT

JSON = {"content-type": b"application/json"}

# name -> value, headers, the dead letter's code (None: there is none), the answer's (None: there is none), and a word
# that tells the reader what is wrong
BROKEN: dict[str, tuple[bytes | None, dict[str, bytes], str | None, str | None, str]] = {
    "cut off": (GOOD[:12], {}, "undecodable", "undecodable", "Deposit"),
    "no avro": (b"\x00\x01 something", {}, "undecodable", "undecodable", "something"),
    "no json": (b'{"account": ', JSON, "undecodable", "undecodable", "JSON"),
    "no value": (None, {}, "undecodable", "undecodable", "no value"),
    "unknown type": (GOOD, {"ce_type": b"antiphon.accounts.Withdraw"}, "unknown-type", "unknown-type", "Withdraw"),
    "type of no text": (GOOD, {"ce_type": b"\xff"}, "undecodable", "undecodable", "ce_type"),
    "wrong field": (b'{"account": "a", "number": "many"}', JSON, "invalid-message", "invalid-message", "number"),
    "too late": (GOOD, {"ce_deadline": b"2020-01-01T00:00:00Z"}, None, "timeout", "deadline"),
    "no deadline": (GOOD, {"ce_deadline": b"tomorrow"}, "undecodable", "undecodable", "tomorrow"),
    "reply to a strange topic": (GOOD, {"ce_replyto": b"elsewhere/0"}, "bad-reply-address", None, "elsewhere"),
    "reply to no partition": (GOOD, {"ce_replyto": b"{prefix}replies/99"}, "bad-reply-address", None, "99"),
    "reply to nowhere": (GOOD, {"ce_replyto": b"nowhere"}, "undecodable", None, "topic/partition"),
    "endless correlation id": (GOOD, {"ce_correlationid": b"x" * 200}, "undecodable", "undecodable", "200 characters"),
    "correlation id of no text": (GOOD, {"ce_correlationid": b"\xff"}, "undecodable", "undecodable", "correlationid"),
    "as large as a record may be": (b"x" * 1_048_000, {}, "undecodable", "undecodable", "JSON"),
    "too large to be answered": (GOOD, {"ce_replytoken": b"x" * 1_047_800}, "output-refused", None, "left out"),
    "not wanted": (avro(DEPOSIT, {**FIELDS, "amount": -1}), {}, "failed", "failed", "must not be negative"),
}


@pytest.mark.timeout(120)
@pytest.mark.promise("S0-42", "S0-44", "S0-46", "S0-47")
def test_every_broken_command_gets_its_own_answer_and_dead_letter_and_disturbs_no_other(
    cluster: Cluster, auditor: Auditor
) -> None:
    accounts, producer, answers = many(4), ForeignProducer(cluster), Answers(cluster)
    sent = cluster.deposit(accounts)
    for name, (value, headers, *_) in BROKEN.items():
        producer.command(name, "account-0", value, **headers)
        producer.flush()
        sent += cluster.deposit(accounts)
    auditor.until_settled(sent)
    auditor.until(lambda: len(auditor.settled) >= len(sent) + len(BROKEN), "every broken one has its end")
    auditor.expect_effects(sent)
    letters = {name: _letter(auditor, name) for name in BROKEN}
    for name, (value, _, code, answer, word) in BROKEN.items():
        letter = letters[name]
        assert (letter and letter.failure.code) == code, name
        if letter is not None:
            assert word in letter.failure.message, name
            assert letter.record_value == (None if word == "left out" else value), name
        refusals = [found.failure for found in answers.read()[name] if isinstance(found, Refused)]
        assert [failure.code for failure in refusals] == ([answer] if answer else []), name
        assert all(word in failure.message for failure in refusals), name
    answers.close()
    auditor.read_to_ends()
    published = [found.event for found in auditor.events[CommandHasFailed]]
    told = {event.command_id: event.code for event in published if isinstance(event, CommandHasFailed)}
    assert len(published) == len(BROKEN), "each failure is published once, and nothing else is"
    assert told == {uuid_of(name): code or answer for name, (_, _, code, answer, _) in BROKEN.items()}


def _letter(auditor: Auditor, name: str) -> DeadLetter | None:
    """The dead letter of a case; there is at most one."""
    found = [letter for letter in auditor.dead_letters if letter.message_id == uuid_of(name)]
    assert len(found) <= 1
    return found[0] if found else None
