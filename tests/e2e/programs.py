"""Programs as processes of their own: started, watched, told to stop; what they say goes into files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from deploy.kafka.run import LAUNCHER

ROOT = Path(__file__).parents[2]
ANTIPHON = ("-m", "antiphon.cli")
DEMO = ("-m", "services.demo")


class Finished(NamedTuple):
    """What a program that has ended leaves behind."""

    code: int
    out: str
    err: str


def finished(arguments: Sequence[str], environment: Mapping[str, str], seconds: float, folder: Path = ROOT) -> Finished:
    """Run Python with these arguments to its end; subprocess.TimeoutExpired if that does not come within `seconds`."""
    done = subprocess.run(
        [sys.executable, *arguments],
        env=dict(environment),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


class Program:
    """A program that runs until it is told to stop; on Linux it dies with the tests, however these end."""

    def __init__(
        self, arguments: Sequence[str], environment: Mapping[str, str], log: Path, folder: Path = ROOT
    ) -> None:
        self._log = log
        launch = ["-I", "-S", "-c", LAUNCHER, str(os.getpid()), sys.executable, *arguments]
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, *launch],
                env=dict(environment),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )

    @property
    def name(self) -> str:
        """As its log file is called."""
        return self._log.stem

    @property
    def log(self) -> str:
        """What it has said."""
        return self._log.read_text(errors="replace")

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def terminate(self) -> None:
        """SIGTERM: what a supervisor does first."""
        self._process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float) -> int:
        """Its exit code; subprocess.TimeoutExpired if it does not end within `seconds`."""
        return self._process.wait(seconds)

    def kill(self) -> None:
        """SIGKILL, unless it has ended; returns when it is gone."""
        self._process.kill()
        self._process.wait(10)
