"""What the chart renders runs: on a real broker, with the users, rights and topics that it gives Strimzi to make."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from deploy.kafka.run import Broker, free_port
from tests.chart.objects import Object, containers, of_kind, rendered, variables
from tests.e2e.deployment import ended, submit
from tests.e2e.programs import ANTIPHON, Program, finished
from tests.kafka import LocalKafka
from tests.waiting import until

ANSWER = 20.0  # seconds for the broker's answer
PATTERNS = {"literal": ResourcePatternType.LITERAL, "prefix": ResourcePatternType.PREFIXED}
KINDS = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP, "transactionalId": ResourceType.TRANSACTIONAL_ID}
OPERATIONS = {
    "Alter": AclOperation.ALTER,
    "Create": AclOperation.CREATE,
    "Describe": AclOperation.DESCRIBE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
}
pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(240)]


class _GuardedBroker(Broker):
    """One with a listener at which clients log in, and may do only what they have been given."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.login_port = free_port()

    def _write_settings(self) -> None:
        super()._write_settings()
        login = f"LOGIN://127.0.0.1:{self.login_port}"
        lines = []
        for line in self._settings.read_text().splitlines():
            name = line.partition("=")[0]
            lines.append(f"{line},{login}" if name in ("listeners", "advertised.listeners") else line)
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        lines += [
            "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,LOGIN:SASL_PLAINTEXT",
            "sasl.enabled.mechanisms=SCRAM-SHA-512",
            f"listener.name.login.scram-sha-512.sasl.jaas.config={scram}",
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users=User:ANONYMOUS",  # whoever has not logged in: the test itself, at the other listener
        ]
        self._settings.write_text("\n".join(lines) + "\n")


class GuardedKafka(LocalKafka):
    """A broker that wants a login, and what an operator does on it."""

    def __init__(self, directory: Path) -> None:
        self._guarded = self._broker = _GuardedBroker(directory)

    @property
    def login_servers(self) -> str:
        """Where clients log in."""
        return f"127.0.0.1:{self._guarded.login_port}"

    def operate(self, objects: list[Object]) -> None:
        """Make the topics and users as Strimzi's operator would; a user's password is its name backwards."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers})
        topics = [each["spec"] for each in of_kind(objects, "KafkaTopic").values()]
        made = [
            NewTopic(each["topicName"], each["partitions"], each["replicas"], config=each["config"]) for each in topics
        ]
        answers = [*admin.create_topics(made).values()]
        scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        for name, user in of_kind(objects, "KafkaUser").items():
            assert user["spec"]["authentication"] == {"type": "scram-sha-512"}
            change = UserScramCredentialUpsertion(name, scram, password_of(name).encode())
            answers += admin.alter_user_scram_credentials([change]).values()
            answers += admin.create_acls([*_rights(name, user)]).values()
        for answer in answers:
            answer.result(ANSWER)


def _rights(name: str, user: Object) -> Iterator[AclBinding]:
    for rule in user["spec"]["authorization"]["acls"]:
        at = rule["resource"]
        for operation in rule["operations"]:
            yield AclBinding(
                KINDS[at["type"]], at["name"], PATTERNS[at["patternType"]],
                f"User:{name}", "*", OPERATIONS[operation], AclPermissionType.ALLOW,
            )  # fmt: skip


def password_of(user: str) -> str:
    """What stands in the Secret that Strimzi makes for the user."""
    return user[::-1]


@pytest.fixture
def guarded(tmp_path: Path, helm: None, kafka: str) -> Iterator[GuardedKafka]:
    with GuardedKafka(tmp_path / "kafka") as broker:
        yield broker


class Pods:
    """The rendered containers as processes on this machine."""

    def __init__(self, objects: list[Object], folder: Path) -> None:
        self._objects, self._folder = objects, folder
        self.ports = {"ANTIPHON_PORT": free_port()}
        self.programs: dict[str, Program] = {}

    def environment(self, container: Object, volumes: list[Object], metrics_port: int) -> dict[str, str]:
        """What the container's program sees; places and secrets are those of the test."""
        found: dict[str, str] = {}
        for source in container.get("envFrom", []):
            found |= of_kind(self._objects, "ConfigMap")[source["configMapRef"]["name"]]["data"]
        for name, value in variables(container).items():
            found[name] = value if isinstance(value, str) else self._resolved(name, value)
        if "ANTIPHON_KAFKA_PASSWORD_FILE" in found:
            found["ANTIPHON_KAFKA_PASSWORD_FILE"] = str(self._mounted(volumes))
        return found | {
            "ANTIPHON_PORT": str(self.ports["ANTIPHON_PORT"]), "ANTIPHON_METRICS_PORT": str(metrics_port),
            "PATH": "/usr/bin:/bin", "HOME": str(self._folder),
        }  # fmt: skip

    def _resolved(self, name: str, source: Object) -> str:
        if "fieldRef" in source:
            return f"pod-{free_port()}"
        assert name == "ANTIPHON_DATABASE_URL"
        return f"sqlite:///{self._folder}/status.sqlite3"

    def _mounted(self, volumes: list[Object]) -> Path:
        (user,) = [each["secret"]["secretName"] for each in volumes if each["name"] == "kafka-login"]
        file = self._folder / str(user)
        file.write_text(password_of(user))
        return file

    def work_off(self, job: Object) -> None:
        """Every container of a Job, to its end."""
        pod = job["spec"]["template"]
        for container in containers(pod):
            environment = self.environment(container, pod["spec"]["volumes"], 0)
            done = finished([*ANTIPHON, *container["args"]], environment, 60)
            assert done.code == 0, done.err

    def start(self, deployment: Object) -> None:
        """One replica; returns when its readiness probe is content."""
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        name, port = deployment["metadata"]["name"], free_port()
        environment = self.environment(container, pod["volumes"], port)
        program = Program([*ANTIPHON, *container["args"]], environment, self._folder / f"{name}.log")
        self.programs[name] = program
        path = container["readinessProbe"]["httpGet"]["path"]
        until(lambda: self._good(program, f"http://127.0.0.1:{port}{path}"), f"{name} is ready", 90)

    def _good(self, program: Program, url: str) -> bool:
        assert program.runs, program.log[-3000:]
        try:
            return httpx.get(url, timeout=5).status_code == 200
        except httpx.TransportError:
            return False


@pytest.mark.promise("S4-62")
def test_the_rendered_pods_do_their_work_with_the_rights_that_they_are_given(
    guarded: GuardedKafka, tmp_path: Path
) -> None:
    settings = f"settings.partitions=2,settings.grace=10,kafka.bootstrapServers={guarded.login_servers}"
    strimzi = (
        "strimzi.topics.replicas=1,strimzi.topics.minInSyncReplicas=1,kafka.tls.enabled=false,autoscaling.enabled=false"
    )
    objects = rendered("strimzi", "--set", f"{settings},{strimzi}")
    guarded.operate(objects)
    pods = Pods(objects, tmp_path)
    try:
        for job in of_kind(objects, "Job").values():
            pods.work_off(job)
        for deployment in of_kind(objects, "Deployment").values():
            pods.start(deployment)
        url = f"http://127.0.0.1:{pods.ports['ANTIPHON_PORT']}"
        with httpx.Client(base_url=url, timeout=40) as http:
            given = {"data": {"rpm": -1}, "rules": {"properties": {"rpm": {"minimum": 0}}}}
            answer = ended(http, submit(http, "validate_input", given))
        assert (answer["status"], answer["result"]["response"]["valid"]) == ("completed", False)
        for program in pods.programs.values():
            program.terminate()
        for name, program in pods.programs.items():
            assert program.wait(40) == 0, f"{name}: {program.log[-3000:]}"
            assert "uthoriz" not in program.log, f"{name}: {program.log[-3000:]}"
    finally:
        for program in pods.programs.values():
            program.kill()
