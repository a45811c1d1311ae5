"""A command's name orders, an event's says what has happened, and whoever knows better may say so."""

from __future__ import annotations

import pytest

from antiphon import Command, Event, Message, Reply
from antiphon.codecs.message_names import misnamed
from antiphon.codecs.words import NOT_PAST, NOT_VERBS, PAST, VERBS
from antiphon.lifecycle import DeadLetter


def command(name: str) -> type[Message]:
    return type(name, (Command,), {"__module__": __name__}, service="names")


def event(name: str) -> type[Message]:
    return type(name, (Event,), {"__module__": __name__}, family="names")


@pytest.mark.parametrize(
    "name",
    ["ProcessData", "AssessVehicle", "BookVisit", "SendCampaign", "GenerateReport", "MigrateData", "Ping",
     "ReassessRisk", "UnmountDisk", "OrchestrateRelease", "TokenizeText", "ClassifyImage", "SetLimit",
     "Tidy", "ConcealName"],
)  # fmt: skip
def test_an_imperative_names_a_command(name: str) -> None:
    assert misnamed([command(name)]) == []


@pytest.mark.promise("S2-19")
@pytest.mark.parametrize(
    "name",
    ["DataProcessed", "VehicleAssessing", "Vehicle", "Assessment", "ProcessingData", "ProcessedData", "SendsMail",
     "NewOrder", "CertificateRequest", "PaymentCommand", "Overview",
     "ServiceStatus", "StateChange"],
)  # fmt: skip
def test_anything_else_is_refused_for_a_command(name: str) -> None:
    (refusal,) = misnamed([command(name)])
    assert refusal.message == f"antiphon.names.{name}"
    assert refusal.text.startswith(f"{name} is a command, so its name must begin with a verb in the imperative")
    assert "rename it, or allow it: `[tool.antiphon] allowed-names`" in refusal.text


@pytest.mark.parametrize(
    "name",
    ["DataProcessed", "VehicleAssessed", "MailSent", "OrderPaid", "Started", "ReportWritten", "ShippedToCustomer"],
)
def test_a_past_tense_names_an_event(name: str) -> None:
    assert misnamed([event(name)]) == []


@pytest.mark.promise("S2-19")
@pytest.mark.parametrize(
    "name", ["ProcessData", "VehicleAssessment", "OrderStatus", "SpeedLimit", "NewsFeed", "Heartbeat"]
)
def test_anything_else_is_refused_for_an_event(name: str) -> None:
    (refusal,) = misnamed([event(name)])
    assert refusal.text.startswith(f"{name} is an event, so its name must say in the past tense what has happened")


def test_a_name_that_is_allowed_is_not_refused_and_only_that() -> None:
    kinds = [event("Heartbeat"), command("Nightly")]
    assert [refusal.message for refusal in misnamed(kinds, {"Heartbeat"})] == ["antiphon.names.Nightly"]


def test_the_librarys_own_messages_are_not_judged() -> None:
    assert misnamed([DeadLetter]) == []


def test_a_reply_may_have_any_name() -> None:
    assert misnamed([type("Quotation", (Reply,), {"__module__": __name__})]) == []


def test_the_lists_of_words_hold_words_and_do_not_contradict_each_other() -> None:
    assert all(word.isalpha() and word.islower() for words in (VERBS, PAST, NOT_PAST, NOT_VERBS) for word in words)
    assert not PAST & NOT_PAST
    assert not VERBS & NOT_VERBS
