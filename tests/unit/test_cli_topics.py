"""`antiphon topics plan` says what would be made and what differs, `export` says it to other tools."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from jsonschema import Draft202012Validator
from typer.testing import CliRunner, Result

from antiphon.broker import TopicDescription, TopicPlan
from antiphon.brokers.kafka import KafkaBroker
from antiphon.brokers.profiles import KAFKA
from antiphon.catalogue import Catalogue, Installation
from antiphon.cli.main import cli
from antiphon.cli.topic_export import strimzi
from antiphon.cli.topic_plan import steps
from antiphon.errors import ConfigurationError
from antiphon.topics import TopicNames
from deploy.kafka.run import java
from services.processors.app import app as processors

KAFKA_TOPIC = json.loads((Path(__file__).parents[1] / "crd" / "kafkatopic_v1.json").read_text("utf-8"))
TOPIC_COMMAND = ("org.apache.kafka.tools.TopicCommand", "-Xmx64m")


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("ANTIPHON_", "KAFKA_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ANTIPHON_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr(sys, "path", list(sys.path))


def topics(*words: str) -> Result:
    return CliRunner().invoke(cli, ["topics", *words, "--app", "services"])


def plans(prefix: str = "antiphon.") -> list[TopicPlan]:
    return Catalogue([processors], Installation(TopicNames(prefix), 4)).plans()


class TestPlan:
    def test_a_topic_that_is_not_there_is_to_be_made(self) -> None:
        (step,) = steps([TopicPlan("orders", 3, {"retention.ms": "7"})], {"other": TopicDescription(1, {})})
        assert (step.action, step.differences) == ("create", ())

    def test_a_topic_as_declared_needs_nothing_whatever_else_is_set(self) -> None:
        there = TopicDescription(3, {"retention.ms": "7", "min.insync.replicas": "2"})
        (step,) = steps([TopicPlan("orders", 3, {"retention.ms": "7"})], {"orders": there})
        assert (step.action, step.differences) == ("none", ())

    def test_partitions_and_settings_that_differ_are_named_with_both_values(self) -> None:
        declared = TopicPlan("orders", 3, {"retention.ms": "7", "cleanup.policy": "delete"})
        (step,) = steps([declared], {"orders": TopicDescription(4, {"retention.ms": "8"})})
        assert step.action == "differs"
        assert step.differences == (
            "partitions: 4, declared 3",
            "retention.ms: 8, declared 7",
            "cleanup.policy: left to the cluster, declared delete",
        )

    @pytest.mark.slow
    def test_a_cluster_out_of_reach_is_exit_code_3(self) -> None:
        result = topics("plan")
        assert (result.exit_code, result.stdout) == (3, "")


class TestExport:
    def test_strimzis_schema_takes_every_document(self) -> None:
        result = topics("export", "--cluster", "main", "--replicas", "3")
        assert result.exit_code == 0
        documents = list(yaml.safe_load_all(result.stdout))
        assert [each["spec"]["topicName"] for each in documents] == [
            plan.name for plan in Catalogue([processors]).plans()
        ]
        for document in documents:
            Draft202012Validator(KAFKA_TOPIC).validate(document)
            assert (document["apiVersion"], document["kind"]) == ("kafka.strimzi.io/v1", "KafkaTopic")
            assert document["metadata"]["labels"] == {"strimzi.io/cluster": "main"}
            assert document["spec"]["replicas"] == 3

    def test_a_document_says_all_that_is_declared_and_leaves_the_replicas_to_the_cluster(self) -> None:
        documents = {each["spec"]["topicName"]: each for each in yaml.safe_load_all(strimzi(plans(), "kafka", None))}
        for plan in plans():
            spec = documents[plan.name]["spec"]
            assert (spec["partitions"], spec["config"]) == (plan.partitions, dict(plan.settings))
            assert "replicas" not in spec

    def test_a_topic_that_cannot_name_a_resource_keeps_its_own_name(self) -> None:
        first, *_ = yaml.safe_load_all(strimzi(plans("Fleet_EU."), "kafka", None))
        assert first["metadata"]["name"] == "fleet-eu.commands.processors"
        assert first["spec"]["topicName"] == "Fleet_EU.commands.processors"

    @pytest.mark.parametrize(("topic", "cluster"), [("…", "kafka"), ("a" * 300, "kafka"), ("orders", "Main Cluster")])
    def test_what_kubernetes_cannot_name_is_refused(self, topic: str, cluster: str) -> None:
        with pytest.raises(ConfigurationError, match="name"):
            strimzi([TopicPlan(topic, 1)], cluster, None)

    def test_programs_get_the_same_without_a_cluster(self) -> None:
        rows = json.loads(topics("export", "--json").stdout)
        assert {row["topic"]: row["partitions"] for row in rows}["antiphon.schemas"] == 1

    def test_kafkas_own_tool_understands_every_line(self) -> None:
        result = topics("export", "--format", "kafka-topics", "--replicas", "2")
        lines = result.stdout.splitlines()
        assert len(lines) == len(Catalogue([processors]).plans())
        for line, plan in zip(lines, Catalogue([processors]).plans(), strict=True):
            words = shlex.split(line)
            assert words[:3] == ["kafka-topics.sh", "--bootstrap-server", "127.0.0.1:1"]
            options = dict(zip(words[5::2], words[6::2], strict=True))
            assert options["--topic"] == plan.name
            assert (options["--partitions"], options["--replication-factor"]) == (str(plan.partitions), "2")
            configs = [value for name, value in zip(words[5::2], words[6::2], strict=True) if name == "--config"]
            assert dict(each.split("=") for each in configs) == dict(plan.settings)


@pytest.mark.timeout(120)
def test_what_other_tools_make_of_the_export_leaves_nothing_to_do(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = f"plan{uuid4().hex[:8]}."
    monkeypatch.setenv("ANTIPHON_BOOTSTRAP_SERVERS", kafka)
    monkeypatch.setenv("ANTIPHON_PREFIX", prefix)
    monkeypatch.setenv("ANTIPHON_PARTITIONS", "2")

    def planned() -> tuple[int, dict[str, Any]]:
        result = topics("plan", "--json")
        return result.exit_code, {row["topic"]: row for row in json.loads(result.stdout)}

    code, rows = planned()
    assert (code, {row["action"] for row in rows.values()}) == (1, {"create"})

    state, *_ = [line for line in topics("export", "--format", "kafka-topics").stdout.splitlines() if ".state." in line]
    tool = java(TOPIC_COMMAND, shlex.split(state)[1:], record=False)
    subprocess.run(tool, check=True, timeout=60, capture_output=True)
    code, rows = planned()
    assert (code, rows[f"{prefix}state.processors"]["action"]) == (1, "none")

    assert topics("apply").exit_code == 0
    assert planned()[0] == 0
    assert "nothing to do" in topics("plan").stdout


def test_a_topic_that_somebody_made_otherwise_is_told(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = f"plan{uuid4().hex[:8]}."
    monkeypatch.setenv("ANTIPHON_BOOTSTRAP_SERVERS", kafka)
    monkeypatch.setenv("ANTIPHON_PREFIX", prefix)
    monkeypatch.setenv("ANTIPHON_PARTITIONS", "2")
    with closing(KafkaBroker(KAFKA, kafka).admin()) as admin:
        admin.create_topics([TopicPlan(f"{prefix}replies", 3, {"cleanup.policy": "compact"})])
    result = topics("plan", "--json")
    assert result.exit_code == 1
    (found,) = [row for row in json.loads(result.stdout) if row["action"] != "create"]
    assert found["differences"] == [
        "partitions: 3, declared 2",
        "cleanup.policy: compact, declared delete",
        "retention.ms: left to the cluster, declared 86400000",
    ]
    assert "partitions: 3, declared 2; cleanup.policy: compact" in topics("plan").stdout
