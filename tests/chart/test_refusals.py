"""Values that would install and then not work are refused, with what to do instead."""

from __future__ import annotations

import json

import pytest

from deploy.helm.tool import CHART, Refused, render

USERS = '{"users": {"enabled": true}, "namespace": "kafka"}'


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("settings.parititons=12", "settings.parititons is no setting; there are profile"),
        ('settings.partitions="twelve"', "partitions"),
        ("settings.grace=-1", "grace"),
        ('settings.log_level="LOUD"', "log_level"),
        (
            'settings.database_url="postgresql://me:secret@db/x"',
            "name the Secret that holds it in database.existingSecret",
        ),
        ('settings.llm_key="sk-1"', "name its Secret in secretSettings.llm_key"),
        ("settings.metrics_port=9000", "set metrics.port"),
        ('services.processors.settings={"prefix": "mine."}', "all components share it: set settings.prefix"),
        ('secretSettings.prefix={"existingSecret": "x", "key": "y"}', "no setting that may be a secret"),
        ('kafka.options={"sasl.password": "x"}', "kafka.options has sasl.password: log in by kafka.sasl"),
        ('kafka.options={"security.protocol": "SSL"}', "kafka.options has security.protocol"),
        ('kafka.sasl={"mechanism": "PLAIN"}', "set kafka.sasl.username and kafka.sasl.existingSecret"),
        ('kafka.sasl={"mechanism": "KERBEROS"}', "mechanism"),
        ('kafka={"existingSecret": "x", "tls": {"enabled": true}}', "kafka.existingSecret is all of ANTIPHON_KAFKA"),
        ('kafka.bootstrapServers="kafka"', "bootstrapServers"),
        ('database.existingSecret=""', "name the Secret with its URL in database.existingSecret"),
        ('services.gateway={"app": "a:b"}', "that name is taken by the chart itself"),
        ('services.Analysis={"app": "a:b"}', "Analysis"),
        ("services.analysis={}", "app"),
        ('services.processors={"app": "a:b", "replica": 3}', "replica"),
        ("services.processors.replicas=13", "13 replicas but there are 12 partitions"),
        ('autoscaling={"enabled": true, "maxReplicas": 30}', "30 replicas but there are 12 partitions"),
        ('autoscaling={"enabled": true, "minReplicas": 7}', "minReplicas (7) is above autoscaling.maxReplicas (6)"),
        ('autoscaling={"enabled": true, "minReplicas": 0}', "minReplicas"),
        ('strimzi.topics={"enabled": true}', "strimzi.topics and setup.topics both make topics"),
        ('strimzi.users={"enabled": true}', "set setup.mode to plain"),
        (f"strimzi={USERS}", "puts the Secret of a KafkaUser into the user's namespace"),
        ('externalSecrets={"enabled": true}', "externalSecrets needs secretStore.name and secrets"),
        ('workloadIdentity={"enabled": true}', "workloadIdentity needs clientId"),
        ('gateway.ingress={"enabled": true}', "gateway.ingress has no hosts"),
        ('image.digest="sha256:abc"', "digest"),
        ("status.replicas=2", "replicas"),
        ("replicaCount=2", "replicaCount"),
    ],
)
def test_what_cannot_work_is_refused_by_name(helm: None, given: str, told: str) -> None:
    with pytest.raises(Refused) as refusal:
        render([], "--set-json", given)
    assert told in str(refusal.value)


def test_keda_is_not_promised_a_login_that_it_cannot_read(helm: None) -> None:
    words = ("--set", "kafka.existingSecret=x", "--set", "autoscaling.enabled=true")
    with pytest.raises(Refused, match="KEDA cannot read the log-in"):
        render([], *words)
    assert render([], *words, "--set", "autoscaling.authenticationRef.name=mine")


def test_all_mistakes_are_told_at_once(helm: None) -> None:
    with pytest.raises(Refused) as refusal:
        render([], "--set", "settings.color=red,workloadIdentity.enabled=true,gateway.ingress.enabled=true")
    assert all(word in str(refusal.value) for word in ("settings.color", "clientId", "hosts"))


def test_the_schema_knows_every_value_of_the_chart() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    assert schema["additionalProperties"] is False
    assert schema["properties"].keys() - {"global"} == _top_level()


def _top_level() -> set[str]:
    lines = (CHART / "values.yaml").read_text("utf-8").splitlines()
    return {line.split(":")[0] for line in lines if line[:1].isalpha()}
