"""What stands around the pods agrees with them: scaling, budgets, topics, users, network, monitoring, the first Job."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from antiphon.topics import TopicNames
from deploy.helm.carried import ROOT
from deploy.helm.tool import CHART
from services.processors.app import app as processors
from tests.chart.conftest import once
from tests.chart.objects import Object, component, containers, of_kind, rendered, values

NAMES = TopicNames()


def test_who_is_scaled_has_no_fixed_replicas_and_who_is_not_has(objects: list[Object]) -> None:
    scaled = {each["spec"]["scaleTargetRef"]["name"] for each in of_kind(objects, "ScaledObject").values()}
    deployments = of_kind(objects, "Deployment")
    assert scaled <= deployments.keys()
    for name, each in deployments.items():
        assert ("replicas" in each["spec"]) == (name not in scaled), name


@pytest.mark.promise("S3-65")
def test_services_scale_by_the_lag_of_their_group_on_every_topic_that_they_read(helm: None) -> None:
    scaled = of_kind(once("strimzi"), "ScaledObject")["antiphon-processors"]["spec"]
    triggers = [trigger["metadata"] for trigger in scaled["triggers"]]
    wanted = {NAMES.commands("processors"), *NAMES.lanes("processors", processors.lanes)}
    assert {trigger["topic"] for trigger in triggers} == wanted
    assert len(wanted) == 4
    assert {trigger["consumerGroup"] for trigger in triggers} == {NAMES.group("processors")}
    assert {trigger["bootstrapServers"] for trigger in triggers} == {"main-kafka-bootstrap:9093"}
    behavior = scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] == 300
    assert behavior["scaleDown"]["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 60}]


def test_scaling_stays_within_the_partitions_and_above_nothing(objects: list[Object], set_name: str) -> None:
    for each in of_kind(objects, "ScaledObject").values():
        spec = each["spec"]
        assert 1 <= spec["minReplicaCount"] <= spec["maxReplicaCount"] <= values(set_name)["settings"]["partitions"]
        assert spec["fallback"]["replicas"] <= spec["maxReplicaCount"]


def test_keda_logs_in_as_the_service_does(objects: list[Object]) -> None:
    authentications = of_kind(objects, "TriggerAuthentication")
    for name, each in of_kind(objects, "ScaledObject").items():
        pod = of_kind(objects, "Deployment")[name]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        login = [volume["secret"] for volume in pod["volumes"] if volume["name"] == "kafka-login"]
        referred = {trigger.get("authenticationRef", {}).get("name") for trigger in each["spec"]["triggers"]}
        if not login:
            assert referred == {None}
            continue
        assert referred == {name}
        spec = authentications[name]["spec"]
        name, key = login[0]["secretName"], login[0]["items"][0]["key"]
        assert {"parameter": "password", "name": name, "key": key} in spec["secretTargetRef"]
        assert spec["env"] == [{"parameter": "username", "name": "SASL_USERNAME", "containerName": container["name"]}]


def test_event_hubs_is_reached_by_tls_and_plain(helm: None) -> None:
    triggers = of_kind(once("event-hubs"), "ScaledObject")["antiphon-mails"]["spec"]["triggers"]
    assert {(each["metadata"]["sasl"], each["metadata"]["tls"]) for each in triggers} == {("plaintext", "enable")}
    assert {each["metadata"]["topic"] for each in triggers} == {"antiphon.commands.mails", "antiphon.events.orders"}


def test_budgets_are_for_those_who_may_be_several(objects: list[Object], set_name: str) -> None:
    scaled = {name: each["spec"]["maxReplicaCount"] for name, each in of_kind(objects, "ScaledObject").items()}
    budgets = of_kind(objects, "PodDisruptionBudget")
    for name, each in of_kind(objects, "Deployment").items():
        own = values(set_name)["services"].get(component(each), {}).get("podDisruptionBudget", {})
        several = scaled.get(name, each["spec"].get("replicas", 0)) > 1
        assert (name in budgets) == (several and own.get("enabled", True)), name
    assert all(each["spec"]["maxUnavailable"] == 1 for each in budgets.values())


def test_the_read_side_never_runs_twice(objects: list[Object]) -> None:
    (status,) = [each for each in of_kind(objects, "Deployment").values() if component(each) == "status"]
    assert (status["spec"]["replicas"], status["spec"]["strategy"]) == (1, {"type": "Recreate"})


def test_pods_are_spread_over_zones_and_nodes(helm: None) -> None:
    for each in of_kind(once("defaults"), "Deployment").values():
        spread = each["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert [entry["topologyKey"] for entry in spread] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
        for entry in spread:
            labels = each["spec"]["template"]["metadata"]["labels"].items()
            assert entry["labelSelector"]["matchLabels"].items() <= labels


def test_a_hook_needs_nothing_of_the_release(helm: None) -> None:
    objects = once("defaults")
    (job,) = of_kind(objects, "Job").values()
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    pod = job["spec"]["template"]
    account = of_kind(objects, "ServiceAccount")[pod["spec"]["serviceAccountName"]]
    assert account["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert int(account["metadata"]["annotations"]["helm.sh/hook-weight"]) < 0
    assert [container["args"] for container in containers(pod)] == [["topics", "apply"], ["database", "migrate"]]
    assert not any("envFrom" in container for container in containers(pod))


def test_a_plain_job_is_another_one_when_anything_about_it_differs(helm: None) -> None:
    words = ("--set", "setup.mode=plain")
    (first,) = of_kind(rendered("defaults", *words), "Job")
    (same,) = of_kind(rendered("defaults", *words, "--set", "gateway.replicas=4"), "Job")
    (other,) = of_kind(rendered("defaults", *words, "--set", "settings.partitions=24"), "Job")
    assert first == same != other


def test_strimzi_gets_every_topic_of_the_catalogue(helm: None) -> None:
    words = ("--set", "settings.partitions=24,settings.prefix=Fleet_EU.")
    found = {each["spec"]["topicName"]: each for each in of_kind(rendered("strimzi", *words), "KafkaTopic").values()}
    catalogue = yaml.safe_load((CHART / "files" / "catalogue.yaml").read_text("utf-8"))["catalogue"]
    assert found.keys() == {f"Fleet_EU.{topic['name']}" for topic in catalogue["topics"]}
    for topic in catalogue["topics"]:
        each = found[f"Fleet_EU.{topic['name']}"]
        assert each["metadata"]["name"] == f"fleet-eu.{topic['name']}"
        assert each["spec"]["partitions"] == topic.get("partitions", 24)
        assert each["spec"]["config"].items() >= topic["config"].items()
        assert each["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_nobody_may_write_the_state_of_a_service_but_itself(helm: None) -> None:
    state = NAMES.state("processors")
    writers = {
        name
        for name, user in of_kind(once("strimzi"), "KafkaUser").items()
        for rule in user["spec"]["authorization"]["acls"]
        if rule["resource"]["type"] == "topic" and "Write" in rule["operations"] and _covers(rule["resource"], state)
    }
    assert writers == {"antiphon-processors"}


def test_only_the_gateway_declares(helm: None) -> None:
    writers = {
        name
        for name, user in of_kind(once("strimzi"), "KafkaUser").items()
        for rule in user["spec"]["authorization"]["acls"]
        if "Write" in rule["operations"] and _covers(rule["resource"], NAMES.control)
    }
    assert writers == {"antiphon-gateway"}


def test_the_network_lets_pods_reach_what_they_need(helm: None) -> None:
    policies = {component(each): each["spec"] for each in of_kind(once("everything"), "NetworkPolicy").values()}
    assert policies.keys() == {"processors", "analysis", "quiet", "gateway", "status", "setup", "test"}
    for name, spec in policies.items():
        assert spec["policyTypes"] == ["Ingress", "Egress"]
        reached = {port["port"] for rule in spec["egress"] for port in rule.get("ports", [])}
        assert 53 in reached
        assert ({9092, 9093} <= reached) == (name != "test"), name
        assert (5432 in reached) == (name in ("gateway", "status", "setup")), name
        assert (443 in reached) == (name in ("processors", "analysis", "quiet")), name
        entered = {port["port"] for rule in spec["ingress"] for port in rule["ports"]}
        assert entered == ({"metrics", "http"} if name == "gateway" else {"metrics"} - ({"metrics"} & _closed(name)))


def test_prometheus_tells_services_apart_by_job(helm: None) -> None:
    (monitor,) = of_kind(once("everything"), "PodMonitor").values()
    assert monitor["spec"]["jobLabel"] == "app.kubernetes.io/component"
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    for each in of_kind(once("everything"), "Deployment").values():
        pod = each["spec"]["template"]
        assert monitor["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
        assert endpoint["port"] in {port["name"] for port in pod["spec"]["containers"][0]["ports"]}


def test_rules_and_dashboards_arrive_unchanged(helm: None) -> None:
    objects = once("everything")
    (rule,) = of_kind(objects, "PrometheusRule").values()
    assert rule["spec"] == yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules.yml").read_text("utf-8"))
    boards = {name: each for name, each in of_kind(objects, "ConfigMap").items() if "-dashboard-" in name}
    sources = {
        path.name: path.read_text("utf-8") for path in (ROOT / "deploy" / "grafana" / "dashboards").glob("*.json")
    }
    carried: dict[str, Any] = {}
    for each in boards.values():
        carried |= each["data"]
        assert each["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert sum(map(len, each["data"].values())) < 900_000  # etcd's limit is a megabyte
    assert {name: text.strip() for name, text in carried.items()} == {
        name: text.strip() for name, text in sources.items()
    }


def test_identities_reach_accounts_and_pods(helm: None) -> None:
    objects = once("identity")
    for name, account in of_kind(objects, "ServiceAccount").items():
        found = account["metadata"]["annotations"]
        assert found["azure.workload.identity/client-id"] == "00000000-0000-4000-8000-000000000001", name
    for each in of_kind(objects, "Deployment", "Job").values():
        assert each["spec"]["template"]["metadata"]["labels"]["azure.workload.identity/use"] == "true"


def test_a_service_may_differ_from_the_defaults(helm: None) -> None:
    deployments = of_kind(once("everything"), "Deployment")
    own, other = (deployments[f"fleet-{name}"]["spec"]["template"]["spec"] for name in ("analysis", "processors"))
    assert own["containers"][0]["resources"]["limits"] == {"memory": "2Gi"}
    assert other["containers"][0]["resources"]["limits"] == {"memory": "512Mi"}
    assert {"name": "ANTIPHON_IN_FLIGHT", "value": "5000"} in own["containers"][0]["env"]
    assert own["nodeSelector"] == {"disk": "fast"}
    assert "nodeSelector" not in other
    assert own["containers"][0]["image"].startswith("registry.example.org/fleet/antiphon@sha256:0123")


def _covers(resource: dict[str, str], name: str) -> bool:
    return name.startswith(resource["name"]) if resource["patternType"] == "prefix" else name == resource["name"]


def _closed(name: str) -> set[str]:
    return {"metrics"} if name in ("setup", "test") else set()
