"""Images that the project names, made where no registry is reached: Debian under their names, with the real programs.

`python:…-slim` is Debian's own Python. `apache/kafka` runs the jars that deploy/kafka pins, set up from the variables
of its environment by the class with which Kafka's image does it. `postgres` and `prom/prometheus` are Debian's servers.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from deploy.kafka.run import LIBS, install
from tests.images.engine import Engine

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent / "standins"
DEBIAN = "debian:standin"
PYTHON = "python:3.12-slim"
KAFKA = "apache/kafka:4.3.1"
POSTGRES = "postgres:17"
PROMETHEUS = "prom/prometheus:v3.5.0"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
SUITE = "bookworm"
PACKAGES = "python3,python3-venv,ca-certificates"


def debian(engine: Engine, directory: Path) -> None:
    """Import a small Debian as the images that everything else is made from; its tar is kept in `directory`."""
    tar = directory / f"{SUITE}.tar"
    if not tar.exists():
        _bootstrap(directory / "root", tar)
    found = engine.docker("images", "--quiet", DEBIAN).stdout.strip()
    if not found:
        changes = ["ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
        changes += [f"ENV {name}={CERTIFICATES}" for name in ("PIP_CERT", "SSL_CERT_FILE")]
        words = [word for change in changes for word in ("--change", change)]
        engine.docker("import", *words, str(tar), DEBIAN, seconds=120)
    engine.docker("tag", DEBIAN, PYTHON)


def _bootstrap(root: Path, tar: Path) -> None:
    shutil.rmtree(root, ignore_errors=True)
    try:
        _run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(root))
        shutil.rmtree(root / "var/cache/apt/archives")
        if CERTIFICATES.exists():  # whoever builds may sit behind a registry of their own
            shutil.copy(CERTIFICATES, root / CERTIFICATES.relative_to("/"))
        part = tar.with_suffix(".part")
        _run("tar", "--create", "--numeric-owner", "--file", str(part), "--directory", str(root), ".")
        part.rename(tar)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def kafka(engine: Engine) -> None:
    """Build the stand-in for Kafka's image."""
    install()
    folder = LIBS.parent / "image"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(HERE / "kafka", folder)
    shutil.copy(ROOT / "deploy/kafka/log4j2.properties", folder)
    (folder / "libs").mkdir()
    for jar in LIBS.glob("*.jar"):
        os.link(jar, folder / "libs" / jar.name)
    _build(engine, folder, KAFKA)


def postgres(engine: Engine) -> None:
    """Build the stand-in for PostgreSQL's image."""
    _build(engine, HERE / "postgres", POSTGRES)


def prometheus(engine: Engine) -> None:
    """Build the stand-in for Prometheus' image."""
    _build(engine, HERE / "prometheus", PROMETHEUS)


def _build(engine: Engine, folder: Path, tag: str) -> None:
    engine.docker("build", "--network", "host", "--tag", tag, str(folder), seconds=300)


def _run(*command: str) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=400, check=False)
    if done.returncode:
        raise AssertionError(
            f"{' '.join(command)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}"
        )
