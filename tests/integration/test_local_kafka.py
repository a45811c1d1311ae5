"""The broker without Docker: it serves, survives a crash with its records, and never outlives its starter."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from deploy.kafka.run import Broker, BrokerFailed, answers
from tests.kafka import LocalKafka
from tests.waiting import until

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.kafka


def create_topic(servers: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": servers})  # its futures fail if it is collected before them
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(10)


def write(servers: str, topic: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": servers, "acks": "all"})
    producer.produce(topic, value)
    assert producer.flush(10) == 0


def read_first(servers: str, topic: str) -> bytes | None:
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "reader"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    message = consumer.poll(10)
    consumer.close()
    assert message is not None
    assert message.error() is None
    return message.value()


def port(servers: str) -> int:
    return int(servers.partition(":")[2])


def runs(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_message_goes_through_the_shared_broker(kafka: str) -> None:
    create_topic(kafka, "local-kafka-shared")

    write(kafka, "local-kafka-shared", b"hello")

    assert read_first(kafka, "local-kafka-shared") == b"hello"


def test_a_private_broker_serves_and_is_gone_after_its_block(private_kafka: LocalKafka, tmp_path: Path) -> None:
    with LocalKafka(tmp_path / "second") as second:
        servers, pid = second.bootstrap_servers, second.pid
        create_topic(servers, "t")
        write(servers, "t", b"hello")
        assert read_first(servers, "t") == b"hello"

    assert not runs(pid)
    assert not answers(port(servers))
    assert answers(port(private_kafka.bootstrap_servers))


def test_records_survive_kill_9_and_the_port_stays(private_kafka: LocalKafka) -> None:
    servers = private_kafka.bootstrap_servers
    create_topic(servers, "t")
    write(servers, "t", b"durable")

    private_kafka.kill()
    private_kafka.start()

    assert private_kafka.bootstrap_servers == servers
    assert read_first(servers, "t") == b"durable"


def test_a_frozen_broker_is_silent_until_it_is_thawed(private_kafka: LocalKafka) -> None:
    private_kafka.freeze()
    assert not answers(port(private_kafka.bootstrap_servers), patience=0.5)

    private_kafka.thaw()
    until(lambda: answers(port(private_kafka.bootstrap_servers)), "the thawed broker answers")


def test_the_jvm_dies_with_a_starter_that_is_killed(tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from deploy.kafka.run import Broker
broker = Broker(Path({str(tmp_path)!r}))
broker.start()
print(broker.pid, flush=True)
broker.wait()
"""
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        assert runs(pid)
        starter.kill()

    until(lambda: not runs(pid), "the orphaned JVM is gone")


def test_the_program_says_ready_when_it_serves_and_stops_when_told(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "deploy/kafka/run.py"), "--dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        word, servers = program.stdout.readline().split()
        assert word == "ready"
        assert answers(port(servers))
        program.send_signal(signal.SIGTERM)
        assert program.wait(20) == 0

    assert not answers(port(servers))


def test_a_taken_port_and_a_taken_storage_are_refused_by_name(private_kafka: LocalKafka, tmp_path: Path) -> None:
    taken = port(private_kafka.bootstrap_servers)
    with pytest.raises(BrokerFailed, match=f"port {taken} cannot be used"):
        Broker(tmp_path / "other", taken).start()
    with pytest.raises(BrokerFailed, match="another broker uses"):
        Broker(tmp_path / "kafka").start()


def test_a_missing_program_is_named_with_what_to_install(tmp_path: Path) -> None:
    script = str(ROOT / "deploy/kafka/run.py")
    environment = {**os.environ, "PATH": str(tmp_path)}

    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "`java` is not on the PATH: install a Java runtime, 17 or newer" in done.stderr
