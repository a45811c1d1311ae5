"""The children of a worker, in which handlers compute, log as it does, and mask what it masks."""

from __future__ import annotations

import json
import logging
from functools import partial

import pytest

from antiphon.executor import Calculation
from antiphon.executors.calculator import Calculator, Lost
from antiphon.executors.calls import call_bytes
from antiphon.masking import MASK
from antiphon.telemetry.logs import LogOptions, begin_child

pytestmark = pytest.mark.slow


def test_a_line_of_a_child_has_the_workers_form_and_no_secret_of_its_settings(
    capfd: pytest.CaptureFixture[str],
) -> None:
    options = LogOptions(format="json", service="primes", replica="primes-0")
    calculator = Calculator(partial(begin_child, options, ["canary-of-the-child"]))
    call = call_bytes(Calculation("warn", logging.warning, ("it says canary-of-the-child",)))
    assert not isinstance(calculator.calculate([call], [30.0], lambda _: False), Lost)
    calculator.close()
    [line] = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert (line["event"], line["service"], line["replica"]) == (f"it says {MASK}", "primes", "primes-0")
