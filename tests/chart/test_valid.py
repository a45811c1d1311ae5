"""What is rendered is what Kubernetes and the operators take."""

from __future__ import annotations

import json
from pathlib import Path

import kubernetes_validate
import pytest
from jsonschema import Draft202012Validator

from deploy.helm.tool import CHART, run
from tests.chart.conftest import once
from tests.chart.objects import SETS, Object, files_of, of_kind, values

VERSIONS = ("1.30", "1.34", "1.37")
RESOURCES = Path(__file__).parents[1] / "crd"
CUSTOM = {
    "ExternalSecret": "externalsecret_v1",
    "KafkaTopic": "kafkatopic_v1",
    "KafkaUser": "kafkauser_v1",
    "PodMonitor": "podmonitor_v1",
    "PrometheusRule": "prometheusrule_v1",
    "ScaledObject": "scaledobject_v1alpha1",
    "TriggerAuthentication": "triggerauthentication_v1alpha1",
}
SCHEMAS = {
    kind: Draft202012Validator(json.loads((RESOURCES / f"{name}.json").read_text("utf-8")))
    for kind, name in CUSTOM.items()
}


def test_there_are_sets_for_what_people_do() -> None:
    assert len(SETS) >= 7


def test_helm_lints_every_set(helm: None, set_name: str) -> None:
    words = [word for path in files_of(set_name) for word in ("--values", str(path))]
    assert "0 chart(s) failed" in run("lint", "--strict", str(CHART), *words)


@pytest.mark.promise("S4-62")
@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_every_object(objects: list[Object], version: str) -> None:
    own = [each for each in objects if each["kind"] not in CUSTOM]
    assert own
    for each in own:
        kubernetes_validate.validate(each, version, strict=True)


def test_operators_take_every_custom_resource(objects: list[Object]) -> None:
    for each in objects:
        if each["kind"] in CUSTOM:
            SCHEMAS[each["kind"]].validate(each)


def test_every_kind_is_in_some_set(helm: None) -> None:
    found = {each["kind"] for name in SETS for each in once(name)}
    assert set(CUSTOM) <= found
    assert {"Deployment", "Service", "Ingress", "Job", "NetworkPolicy", "PodDisruptionBudget", "Pod"} <= found


def test_a_field_that_kubernetes_does_not_know_is_noticed() -> None:
    wrong = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "dat": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


def test_names_are_unique_and_carry_the_standard_labels(objects: list[Object]) -> None:
    keys = [(each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(keys) == len(set(keys))
    for each in objects:
        if each["metadata"]["name"] != "fleet-own":  # an extra object has the labels that its author gave it
            labels = each["metadata"]["labels"]
            assert labels["app.kubernetes.io/name"] == "antiphon"
            assert labels["app.kubernetes.io/instance"] == "antiphon"


def test_what_is_set_for_all_reaches_every_object(helm: None) -> None:
    for each in once("everything"):
        if each["metadata"]["name"] != "fleet-own":
            assert each["metadata"]["labels"]["team"] == "fleet", each["metadata"]["name"]


def test_one_deployment_for_each_service_and_no_more(objects: list[Object], set_name: str) -> None:
    named = {*values(set_name)["services"], "gateway", "status"}
    prefix = values(set_name)["fullnameOverride"] or "antiphon"
    assert set(of_kind(objects, "Deployment")) == {f"{prefix}-{name}" for name in named}
