"""The README's code does what the README says, as it is written there."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.main import get_command

from antiphon import App
from antiphon.broker import Broker, Partition, ReaderOptions, Record
from antiphon.brokers.kafka import KafkaBroker
from antiphon.brokers.profiles import KAFKA
from antiphon.catalogue import Catalogue, Installation
from antiphon.cli.discovery import find_apps
from antiphon.cli.main import cli
from antiphon.clocks.system import SystemClock
from antiphon.codecs.avro import AvroCodec
from antiphon.envelope import Envelope
from antiphon.executors.event_loop import LoopExecutor
from antiphon.executors.inline import InlineExecutor
from antiphon.lifecycle import CommandSettled
from antiphon.metrics import NoMetrics
from antiphon.processing.worker import Worker, WorkerOptions, WorkerParts
from deploy.kafka.run import java
from tests.kafka import LocalKafka
from tests.processing.world import World
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (?P<path>[\w/]+\.py)\n")
CONSOLE_PRODUCER = ("org.apache.kafka.tools.ConsoleProducer", "-Xmx64m")


class Fleet(NamedTuple):
    """The services of the README, imported, and where their files lie."""

    messages: Any
    analysis: App
    scheduling: App
    folder: Path


def blocks(language: str) -> list[str]:
    """The README's code blocks of one language, in order."""
    found = BLOCK.finditer((ROOT / "README.md").read_text("utf-8"))
    return [block["text"] for block in found if block["language"] == language]


def write_files(folder: Path) -> list[str]:
    """Every Python block as the file that its first line names."""
    paths = []
    for text in blocks("python"):
        named = FILE.match(text)
        assert named, f"the first line of a block names its file, not {text.splitlines()[0]!r}"
        path = folder / named["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        paths.append(named["path"])
    return paths


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    for package in {(tmp_path / path).parent for path in write_files(tmp_path)} - {tmp_path}:
        (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    modules = [importlib.import_module(f"fleet.{name}") for name in ("messages", "analysis.app", "scheduling.app")]
    yield Fleet(modules[0], modules[1].app, modules[2].app, tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "fleet"]:
        del sys.modules[name]


def test_every_python_block_of_the_readme_is_a_file_of_its_own(tmp_path: Path) -> None:
    paths = write_files(tmp_path)
    assert sorted(set(paths)) == sorted(paths)
    assert "send_command.py" in paths


def test_the_command_line_finds_the_apps_that_the_readme_names(fleet: Fleet) -> None:
    (settings,) = blocks("toml")
    (fleet.folder / "pyproject.toml").write_text(settings, "utf-8")
    assert sorted(app.service for app in find_apps([], fleet.folder)) == [
        "analysis", "mails", "maintenance", "manuals", "scheduling",
    ]  # fmt: skip


def test_every_command_line_of_the_readme_is_understood() -> None:
    lines = [line for text in blocks("bash") for line in text.splitlines() if line.startswith("antiphon ")]
    assert {line.split()[1] for line in lines} == {
        "run", "dev", "send", "status", "commands", "topics", "gateway", "projector", "schemas", "control", "pipeline",
        "dead-letters", "cancel", "workflows", "approvals", "load",
    }  # fmt: skip
    for line in lines:
        _, *words = shlex.split(line, comments=True)
        command: Any = get_command(cli)
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        command.make_context("antiphon", words)  # a usage error for a word or an option that does not exist


def test_the_design_page_names_files_that_exist_and_every_module_of_the_worker() -> None:
    page = (ROOT / "libs" / "antiphon" / "docs" / "design.md").read_text("utf-8")
    library = ROOT / "libs" / "antiphon" / "antiphon"
    named = set(re.findall(r"`((?:\w+/)*\w+\.py)\b", page))
    assert sorted(path for path in named if not (library / path).exists() and not (ROOT / path).exists()) == []
    modules = {f"processing/{path.name}" for path in (library / "processing").glob("*.py")}
    modules |= {path.name for path in library.glob("*.py")}
    assert sorted(path for path in modules - named if not path.endswith("__init__.py")) == []


@pytest.mark.parametrize("page", ["README.md", "libs/antiphon/README.md", "libs/antiphon/docs/design.md"])
def test_every_link_leads_somewhere(page: str) -> None:
    file = ROOT / page
    for target in re.findall(r"\]\(([^)\s]+)\)", file.read_text("utf-8")):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = file.parent / path if path else file
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def test_the_services_of_the_readme_pass_their_check(fleet: Fleet) -> None:
    fleet.analysis.check()
    fleet.scheduling.check()
    assert set(Catalogue([fleet.analysis, fleet.scheduling]).commands) == {
        "assess_vehicle",
        "book_visit",
        "cancel_visit",
    }


@pytest.mark.promise("S0-01", "S0-11")
def test_a_command_of_the_readme_leads_to_an_event_and_that_to_another_services_command(fleet: Fleet) -> None:
    world = World(fleet.analysis, fleet.scheduling)
    workers = [world.worker(fleet.analysis), world.worker(fleet.scheduling)]
    world.until(lambda: all(len(worker.serving) == 4 for worker in workers), "all slices are served")
    asked = {"ce_replyto": "antiphon.replies/2", "ce_replytoken": "it-was-me"}
    world.send(
        world.record(fleet.messages.AssessVehicle(vehicle_id="v-7", oil_pressure_kpa=80), **asked),
        world.record(fleet.messages.AssessVehicle(vehicle_id="v-8", oil_pressure_kpa=250)),
    )
    world.until(lambda: len(world.settled()) == 3, "two are assessed, one visit is booked")
    assessed = world.messages(world.names.events("analysis"), fleet.messages.VehicleAssessed)
    assert sorted((event.vehicle_id, event.failure_probability) for event in assessed) == [("v-7", 0.9), ("v-8", 0.1)]
    (booked,) = [end for end in world.settled() if end.service == "scheduling"]
    assert booked.result == '{"centre":"north"}'
    (answer,) = world.messages(world.names.replies, fleet.messages.VehicleAssessed)
    assert answer.vehicle_id == "v-7"


def test_a_mail_of_the_readme_is_delivered_once_and_reminded_of_after_two_days(fleet: Fleet) -> None:
    mails = importlib.import_module("fleet.mails.app")
    world, executor = World(mails.app), LoopExecutor()
    worker = world.worker(mails.app, executor=executor)

    def turn(seconds: float = 0.01) -> bool:
        world.clock.advance(seconds)
        executor.wait(min(0.01, worker.turn(world.clock.now())))
        return True

    until(lambda: turn() and len(worker.serving) == 4, "all slices are served")
    world.send(world.record(mails.SendMail(recipient="a@example.org", text="Your car is ready", remind=True)))
    until(lambda: turn() and len(world.settled()) == 1, "it is delivered")
    turn(3600.0)
    assert len(world.settled()) == 1
    turn(48 * 3600.0)
    until(lambda: turn() and len(world.settled()) == 2, "so is the reminder")
    worker.close(1)


@pytest.mark.promise("S1-42")
def test_the_workflow_of_the_readme_decides_and_survives_its_replica(fleet: Fleet) -> None:
    maintenance = importlib.import_module("fleet.maintenance.app")
    world = World(fleet.analysis, fleet.scheduling, maintenance.app)
    workers = [world.worker(app) for app in (maintenance.app, fleet.analysis, fleet.scheduling)]
    world.until(lambda: all(len(worker.serving) == 4 for worker in workers), "all slices are served")
    fine = maintenance.MaintainVehicle(vehicle_id="v-8", oil_pressure_kpa=250)
    risky = maintenance.MaintainVehicle(vehicle_id="v-7", oil_pressure_kpa=80)
    world.send(world.record(fine), world.record(risky))
    world.until(lambda: bool(world.messages(world.names.events("analysis"), fleet.messages.VehicleAssessed)), "asked")
    world.workers.remove(workers[0])  # it is killed
    world.clock.advance(60)
    world.worker(maintenance.app)
    decided = world.names.events("maintenance")
    world.until(lambda: len(world.messages(decided, maintenance.MaintenanceDecided)) == 2, "both are decided")
    actions = {event.action for event in world.messages(decided, maintenance.MaintenanceDecided)}
    assert actions == {"none", "north, risk 0.9"}


def test_the_rehearsal_of_the_readme_passes(fleet: Fleet) -> None:
    importlib.import_module("fleet.test_maintenance").test_a_visit_is_booked_for_a_risky_vehicle()


def test_a_value_of_the_readme_that_is_too_large_travels_by_reference(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTIPHON_BLOBS", f"file://{tmp_path}/blobs")
    manuals = importlib.import_module("fleet.manuals.app")
    world = World(manuals.app)
    world.worker(manuals.app)
    world.serve()
    world.send(world.record(manuals.PrintManual(title="How to change a pump", pages=100_000)))
    world.until(lambda: len(world.settled()) == 1, "it is printed")
    printed = manuals.ManualPrinted.model_validate_json(world.settled()[0].result or "")
    assert len(manuals.read_manual(printed.manual, manuals.store())) > 2_000_000


def test_an_impossible_reading_is_given_up_at_once(fleet: Fleet) -> None:
    world = World(fleet.analysis)
    world.worker(fleet.analysis)
    world.serve()
    world.send(world.record(fleet.messages.AssessVehicle(vehicle_id="v-7", oil_pressure_kpa=-1)))
    world.until(lambda: bool(world.dead_letters()), "it is given up")
    (dead,) = world.dead_letters()
    assert (dead.failure.error_class, dead.attempts) == ("antiphon.errors.Permanent", 1)


@pytest.mark.promise("S2-08")
def test_the_library_of_the_readme_answers_with_and_without_asyncio(fleet: Fleet) -> None:
    script = [sys.executable, "-W", "error", str(fleet.folder / "library.py")]
    done = subprocess.run(script, cwd=fleet.folder, check=True, timeout=60, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["0.9", "v-9 reports -80.0 kPa, which no engine has"]


def test_the_batch_handler_of_the_readme_gives_each_text_its_own_outcome(fleet: Fleet) -> None:
    similarity = importlib.import_module("fleet.similarity")
    world = World(similarity.app)
    world.worker(similarity.app)
    world.serve()
    texts = {"t-1": "one", "t-2": "", "t-3": "three"}
    world.send(*(world.record(similarity.EmbedText(text_id=text_id, text=text)) for text_id, text in texts.items()))
    world.send(world.record(similarity.CompareTexts(one="pump", other="pumps")))
    world.until(lambda: len(world.settled()) == 4, "all have ended")
    embedded = world.messages(world.names.events("similarity"), similarity.TextEmbedded)
    assert {event.text_id: event.vector for event in embedded} == {"t-1": [3.0], "t-3": [5.0]}
    assert [dead.failure.message for dead in world.dead_letters()] == ["t-2 has no text"]
    assert sum(end.status == "completed" for end in world.settled()) == 3


# -- clients of others, on a real broker -------------------------------------------------------------------------------


class Analysis:
    """The README's analysis service on a real cluster, driven by the test."""

    def __init__(self, app: App, servers: str) -> None:
        installation = Installation(partitions=4)
        self._names = installation.names
        self._clock = SystemClock()
        self._codec = AvroCodec()
        self._broker: Broker = KafkaBroker(KAFKA, servers)
        admin = self._broker.admin()
        admin.create_topics(Catalogue([app], installation).plans())
        admin.close()
        parts = WorkerParts(self._broker, self._codec, self._clock, InlineExecutor(), NoMetrics())
        self._worker = Worker(app, parts, installation, WorkerOptions(replica="readme"))
        self._reader = self._broker.reader(ReaderOptions("readme", prompt=True))
        self._reader.assign({Partition(self._names.lifecycle, number): 0 for number in range(4)})
        self._lifecycle: list[Record] = []

    def ends(self, count: int) -> list[CommandSettled]:
        """Serve until so many commands have ended, and tell how."""
        until(lambda: self._turn() >= count, f"{count} commands end", seconds=30)
        return [self._codec.decode(record.value, None, CommandSettled) for record in self._settled()]

    def serve_until_it_ends(self, process: subprocess.Popen[str]) -> str:
        """Serve while this program runs; returns what it printed."""
        until(lambda: bool(self._turn() < 0 or process.poll() is not None), "the program ends", seconds=60)
        output, _ = process.communicate()
        assert process.returncode == 0
        return output

    def _turn(self) -> int:
        self._worker.turn(self._clock.now())
        self._lifecycle += self._reader.poll(100, 0)
        return len(self._settled())

    def _settled(self) -> list[Record]:
        return [record for record in self._lifecycle if Envelope(record).type == CommandSettled.type_name()]

    def close(self) -> None:
        self._reader.close()
        self._worker.close(5)


@pytest.fixture
def analysis(fleet: Fleet, private_kafka: LocalKafka) -> Iterator[Analysis]:
    service = Analysis(fleet.analysis, private_kafka.bootstrap_servers)
    yield service
    service.close()


@pytest.mark.timeout(180)  # four JVMs and Pythons are started
def test_programs_that_know_kafka_alone_and_one_of_ours_are_served(
    analysis: Analysis, fleet: Fleet, private_kafka: LocalKafka
) -> None:
    use_the_console_producer(fleet.folder, private_kafka.bootstrap_servers)
    (first,) = analysis.ends(1)
    assert (first.status, first.correlation_id) == ("completed", "v-7")
    assert first.result == '{"vehicle_id":"v-7","failure_probability":0.9}'

    script = [sys.executable, str(fleet.folder / "send_command.py"), private_kafka.bootstrap_servers]
    subprocess.run(script, check=True, timeout=60)
    second = analysis.ends(2)[-1]
    assert (second.status, second.correlation_id) == ("completed", "order-4711")
    assert second.result == '{"vehicle_id":"v-8","failure_probability":0.1}'

    environment = {"ANTIPHON_BOOTSTRAP_SERVERS": private_kafka.bootstrap_servers, "ANTIPHON_PARTITIONS": "4"}
    script = [sys.executable, str(fleet.folder / "ask.py")]
    with subprocess.Popen(script, env=os.environ | environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert analysis.serve_until_it_ends(process) == "0.9\n"
        finally:
            process.kill()


def use_the_console_producer(folder: Path, servers: str) -> None:
    """Run the README's lines with the class that Kafka's script of that name starts."""
    (script,) = [text for text in blocks("bash") if "kafka-console-producer.sh" in text]
    tool = folder / "kafka-console-producer.sh"
    tool.write_text(f'#!/bin/sh\nexec {shlex.join(java(CONSOLE_PRODUCER, [], record=False))} "$@"\n')
    tool.chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    lines = ["bash", "-ec", script.replace("localhost:9092", servers)]
    subprocess.run(lines, check=True, timeout=60, env=os.environ | {"PATH": path})
