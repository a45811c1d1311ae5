"""Every pod is what a careful operator asks of one."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from typer.main import get_command

from antiphon.cli.main import cli
from antiphon.gateway.program import CLOSE_SECONDS
from antiphon.settings import Settings, read_settings
from tests.chart.objects import SYSTEM, Object, component, containers, of_kind, pods, rendered, values, variables

NOT_OURS = {"SASL_USERNAME", "HTTPS_PROXY"}  # what KEDA reads; an extra one of a set


def test_pods_keep_the_restricted_standard(objects: list[Object]) -> None:
    found = list(pods(objects))
    assert found
    for where, pod in found:
        context = pod["spec"]["securityContext"]
        assert context["runAsNonRoot"] is True, where
        assert context["runAsUser"] > 0, where
        assert context["seccompProfile"]["type"] == "RuntimeDefault", where
        assert not pod["spec"].keys() & {"hostNetwork", "hostPID", "hostIPC"}, where
        for container in containers(pod):
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False, where
            assert own["readOnlyRootFilesystem"] is True, where
            assert own["capabilities"] == {"drop": ["ALL"]}, where
            assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"], where
        (folder,) = [volume for volume in pod["spec"]["volumes"] if volume["name"] == "tmp"]
        assert folder["emptyDir"]["sizeLimit"], where


def test_pods_get_no_token_and_no_variables_of_neighbours(objects: list[Object]) -> None:
    for where, pod in pods(objects):
        assert pod["spec"]["automountServiceAccountToken"] is False, where
        assert pod["spec"]["enableServiceLinks"] is False, where


def test_containers_have_requests_and_a_limit_of_memory_alone(objects: list[Object]) -> None:
    for where, pod in pods(objects):
        for container in containers(pod):
            resources = container["resources"]
            assert resources["requests"].keys() == {"cpu", "memory"}, where
            assert resources["limits"] == {"memory": resources["requests"]["memory"]}, where


def test_programs_are_probed_on_the_metrics_port_by_name(objects: list[Object]) -> None:
    for where, found in of_kind(objects, "Deployment").items():
        (container,) = found["spec"]["template"]["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports["metrics"] == 9100, where
        for probe, path in (("startupProbe", "/startupz"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
            assert container[probe]["httpGet"] == {"path": path, "port": "metrics"}, where
        startup = container["startupProbe"]
        assert startup["periodSeconds"] * startup["failureThreshold"] >= 60, where


def test_selectors_are_labels_of_the_template(objects: list[Object]) -> None:
    labels = {component(each): each["spec"]["template"]["metadata"]["labels"] for each in _deployments(objects)}
    for each in _deployments(objects):
        selected = each["spec"]["selector"]["matchLabels"].items()
        assert [name for name, found in labels.items() if selected <= found.items()] == [component(each)]
    for kind in ("PodDisruptionBudget", "Service"):
        for name, each in of_kind(objects, kind).items():
            selector = each["spec"]["selector"]
            wanted = selector.get("matchLabels", selector).items()
            assert [found for found in labels if wanted <= labels[found].items()] == [component(each)], name


def test_every_antiphon_variable_is_a_setting(objects: list[Object]) -> None:
    known = {f"ANTIPHON_{name.upper()}" for name in Settings.model_fields}
    for where, pod in pods(objects):
        for container in containers(pod):
            assert variables(container).keys() - NOT_OURS <= known, where
    for name, found in of_kind(objects, "ConfigMap").items():
        if "dashboard" not in name:
            assert found["data"].keys() <= known, name


@pytest.mark.promise("S0-59")
def test_the_settings_model_takes_what_a_container_gets(
    objects: list[Object], monkeypatch: pytest.MonkeyPatch, set_name: str
) -> None:
    for _, pod in pods(objects):
        for container in containers(pod):
            with monkeypatch.context() as patch:
                environment = _environment(container, objects)
                for name, value in environment.items():
                    patch.setenv(name, value)
                settings = read_settings()
                assert settings.bootstrap_servers == values(set_name)["kafka"]["bootstrapServers"]
                assert settings.partitions == values(set_name)["settings"]["partitions"]


def test_a_login_is_a_mounted_file_and_no_variable(objects: list[Object], set_name: str) -> None:
    for where, pod in pods(objects):
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        for container in containers(pod):
            file = variables(container).get("ANTIPHON_KAFKA_PASSWORD_FILE")
            if file is not None:
                (mount,) = [each for each in container["volumeMounts"] if str(file).startswith(each["mountPath"] + "/")]
                secret = volumes[mount["name"]]["secret"]
                assert file == f"{mount['mountPath']}/{secret['items'][0]['path']}", where
                assert secret["defaultMode"] & 0o007 == 0, where
            assert "password" not in str(variables(container).get("ANTIPHON_KAFKA", "")), where
    login = values(set_name)["kafka"]["sasl"]["mechanism"] or values(set_name)["strimzi"]["users"]["enabled"]
    found = [each for _, pod in pods(objects) for each in containers(pod)
             if "ANTIPHON_KAFKA_PASSWORD_FILE" in variables(each)]  # fmt: skip
    assert bool(found) == bool(login)


def test_event_hubs_is_told_who_we_are_in_its_own_words(helm: None) -> None:
    kafka = json.loads(variables(_container(rendered("event-hubs"), "antiphon-mails"))["ANTIPHON_KAFKA"])
    assert kafka["security.protocol"] == "SASL_SSL"
    assert (kafka["sasl.mechanism"], kafka["sasl.username"]) == ("PLAIN", "$ConnectionString")
    assert kafka["connections.max.idle.ms"] == 180_000


def test_commands_are_those_of_the_command_line(objects: list[Object]) -> None:
    for where, pod in pods(objects):
        for container in containers(pod):
            command: Any = get_command(cli)
            words = list(container["args"])
            context = command.make_context("antiphon", list(words), resilient_parsing=False)
            while hasattr(command, "commands"):
                rest = (
                    [*context._protected_args, *context.args] if hasattr(context, "_protected_args") else context.args
                )
                _, command, words = command.resolve_command(context, rest)
                assert command is not None, where
                context = command.make_context(command.name, list(words), parent=context)
            assert not context.args, where


def test_the_grace_period_covers_what_the_program_may_take(objects: list[Object], set_name: str) -> None:
    given = values(set_name)
    for each in _deployments(objects):
        name = component(each)
        own = given["services"].get(name, {}).get("settings", {}).get("grace", given["settings"]["grace"])
        stop = given["gateway"]["preStopSeconds"] + CLOSE_SECONDS if name == "gateway" else 0
        least = math.ceil(own) + stop + given["terminationMarginSeconds"]
        assert least <= each["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] <= least + 10, name


def test_a_longer_grace_makes_a_longer_period(helm: None) -> None:
    shorter, longer = (_grace(rendered("defaults", "--set", f"settings.grace={grace}")) for grace in (1, 301))
    assert longer - shorter == 300


def test_names_that_a_pod_refers_to_are_there_or_are_secrets_that_the_values_name(
    objects: list[Object], set_name: str
) -> None:
    made = of_kind(objects, "ConfigMap").keys()
    accounts = {*of_kind(objects, "ServiceAccount"), *SYSTEM}
    users = {*of_kind(objects, "KafkaUser"), *of_kind(objects, "ExternalSecret")}
    named = json.dumps(values(set_name))
    for where, pod in pods(objects):
        assert pod["spec"].get("serviceAccountName", "default") in accounts, where
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        for container in containers(pod):
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes.keys(), where
        for kind, name in _references(pod):
            if kind == "ConfigMap":
                assert name in made, f"{where} needs ConfigMap {name}"
            else:
                assert name in users or f'"{name}"' in named, f"{where} needs Secret {name}"


def test_a_changed_setting_rolls_the_pods(helm: None) -> None:
    before, after = (rendered("defaults", "--set", f"settings.in_flight={count}") for count in (10, 11))
    for name, each in of_kind(before, "Deployment").items():
        sums = [found["spec"]["template"]["metadata"]["annotations"]["checksum/settings"]
                for found in (each, of_kind(after, "Deployment")[name])]  # fmt: skip
        assert sums[0] != sums[1]


def test_large_numbers_are_written_out(helm: None) -> None:
    settings = of_kind(rendered("everything"), "ConfigMap")["fleet"]["data"]
    assert settings["ANTIPHON_MAX_MESSAGE_BYTES"] == "1000000"
    assert settings["ANTIPHON_GRACE"] == "45.5"


def _deployments(objects: list[Object]) -> list[Object]:
    return list(of_kind(objects, "Deployment").values())


def _container(objects: list[Object], deployment: str) -> Object:
    (found,) = of_kind(objects, "Deployment")[deployment]["spec"]["template"]["spec"]["containers"]
    return dict(found)


def _grace(objects: list[Object]) -> int:
    found = of_kind(objects, "Deployment")["antiphon-processors"]
    return int(found["spec"]["template"]["spec"]["terminationGracePeriodSeconds"])


def _environment(container: Object, objects: list[Object]) -> dict[str, str]:
    """What the container's program sees, with a text in place of every secret."""
    maps = of_kind(objects, "ConfigMap")
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        found |= maps[source["configMapRef"]["name"]]["data"]
    for name, value in variables(container).items():
        secret = "{}" if name == "ANTIPHON_KAFKA" else "text"
        found[name] = value if isinstance(value, str) else secret
    return found


def _references(pod: Object) -> list[tuple[str, str]]:
    found = [("Secret", volume["secret"]["secretName"]) for volume in pod["spec"]["volumes"] if "secret" in volume]
    for container in containers(pod):
        for source in container.get("envFrom", []):
            found += [("ConfigMap", source["configMapRef"]["name"])] if "configMapRef" in source else []
        for value in variables(container).values():
            if isinstance(value, dict) and "secretKeyRef" in value:
                found.append(("Secret", value["secretKeyRef"]["name"]))
    return found
