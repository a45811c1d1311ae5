"""The image is small in rights: it runs with a read-only root, as nobody, without a shell, and stops when told to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.kafka.run import free_port
from tests.images.engine import Engine, running
from tests.waiting import until

HARDENED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
ROOT = Path(__file__).resolve().parents[2]


def inspected(engine: Engine, kind: str, name: str) -> Any:
    """What the engine knows of an image or a container."""
    return json.loads(engine.docker(kind, "inspect", name).stdout)[0]


def answer(url: str) -> int:
    """The status that is answered there; 0 if nothing answers (yet)."""
    try:
        return httpx.get(url, timeout=5).status_code
    except httpx.TransportError:
        return 0


@pytest.mark.promise("S0-58")
def test_the_image_says_what_it_is_and_who_it_runs_as(engine: Engine, production: str) -> None:
    config = inspected(engine, "image", production)["Config"]
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["antiphon"]
    assert config["StopSignal"] == "SIGTERM"
    assert set(config["ExposedPorts"]) == {"8003/tcp", "9100/tcp"}
    assert config["Healthcheck"]["Test"][0] == "CMD"  # not CMD-SHELL
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in config["Labels"].items()}
    assert labels.keys() >= {"title", "description", "licenses", "version", "revision"}
    assert labels["revision"] == "0123abcd"
    version = engine.docker("run", "--rm", *HARDENED, production, "--version").stdout.strip()
    assert labels["version"] == version


def test_its_rights_are_dropped_and_nothing_is_written(engine: Engine, production: str) -> None:
    program = (
        "import os, pathlib, antiphon;"
        "status = dict(line.split(':', 1) for line in open('/proc/self/status'));"
        "print(os.getuid(), os.getgid(), int(status['CapEff'], 16), status['NoNewPrivs'].strip());"
        "pathlib.Path('/tmp/x').write_text('x');"
        "pathlib.Path('/app/x').write_text('x')"
    )
    done = engine.docker("run", "--rm", *HARDENED, "--entrypoint", "python", production, "-c", program, check=False)
    assert done.stdout.split() == ["10001", "10001", "0", "1"]
    assert "Read-only file system" in done.stderr
    kept = engine.docker("run", "--rm", "--entrypoint", "python", production, "-c", program, check=False)
    assert "Permission denied" in kept.stderr  # nor does the program own its own files


def test_it_holds_no_installer_and_needs_no_shell(engine: Engine, production: str, tmp_path: Path) -> None:
    program = (
        "import importlib.metadata as m, shutil, sys;"
        "print(sorted(name for d in m.distributions() if (name := d.name.lower()) in"
        " ('pip', 'pytest', 'mypy', 'hatchling')), shutil.which('pip'))"
    )
    for python in ("python", "/usr/bin/python3"):
        done = engine.docker("run", "--rm", "--entrypoint", python, production, "-c", program)
        assert done.stdout.strip() == "[] None"
    # the same image with everything gone that could serve as a shell
    (tmp_path / "Dockerfile").write_text(
        f"FROM {production}\nUSER 0\nRUN rm -f /bin/sh /bin/bash /bin/dash\nUSER 10001\n"
    )
    engine.docker("build", "--tag", "antiphon:no-shell", str(tmp_path))
    shell = engine.docker("run", "--rm", "--entrypoint", "/bin/sh", "antiphon:no-shell", "-c", "true", check=False)
    assert shell.returncode == 127
    listed = engine.docker("run", "--rm", *HARDENED, "antiphon:no-shell", "topics", "export", "--json").stdout
    assert "antiphon.commands.processors" in {topic["topic"] for topic in json.loads(listed)}


def test_what_is_installed_fits_together(engine: Engine, production: str) -> None:
    """Every module of every service imports, and every dependency is there in a version that is wanted."""
    program = (
        "import importlib.metadata as m, pkgutil, importlib, services;"
        "from antiphon.cli.discovery import find_apps;"
        "from pathlib import Path;"
        "[importlib.import_module(f.name) for f in pkgutil.walk_packages(services.__path__, 'services.')"
        " if not f.name.endswith('__main__')];"
        "print([app.service for app in find_apps([], Path.cwd())])"
    )
    done = engine.docker("run", "--rm", *HARDENED, "--entrypoint", "python", production, "-c", program)
    assert done.stdout.strip() == "['processors']"


@pytest.mark.promise("S0-57", "S0-58")
def test_development_begins_anew_when_a_mounted_source_changes(
    engine: Engine, development: str, tmp_path: Path
) -> None:
    sources = tmp_path / "src"
    for folder in ("libs", "services"):
        shutil.copytree(ROOT / folder, sources / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", sources)
    _readable(sources)
    port = free_port()
    gateway = f"http://127.0.0.1:{port}"
    mounts = ("--volume", f"{sources}:/src:ro", "--publish", f"127.0.0.1:{port}:8003")
    with running(engine, *HARDENED, *mounts, development) as container:
        until(lambda: answer(f"{gateway}/command-types") == 200, f"it answers on {gateway}", 60)
        added = sources / "services" / "greetings"
        added.mkdir()
        (added / "__init__.py").write_text('"""Added while it ran."""\n')
        (added / "app.py").write_text(
            "from antiphon import App, Command, Context, Reply\n"
            "class Greeted(Reply):\n    text: str\n"
            "class GreetPerson(Command[Greeted], service='greetings'):\n    name: str\n"
            "app = App('greetings')\n"
            "@app.command()\n"
            "def greet(command: GreetPerson, ctx: Context) -> Greeted:\n"
            "    return Greeted(text=f'hello {command.name}')\n"
        )
        _readable(sources)

        def knows() -> bool:
            try:
                return "greet_person" in httpx.get(f"{gateway}/command-types", timeout=5).text
            except httpx.TransportError:
                return False

        until(knows, "the new command type is offered", 60)
        assert "starting again" in engine.docker("logs", container).stderr


def _readable(folder: Path) -> None:
    """For the user of the image: pytest's folders are the tester's alone."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
