"""What SECURITY.md says is shown by a test, is: the test is there, and has tests in it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_test_that_the_threat_model_names_is_there() -> None:
    named = set(re.findall(r"`(tests/[a-z0-9_/]+\.py)`", (ROOT / "SECURITY.md").read_text()))
    assert len(named) > 15
    assert [path for path in sorted(named) if "def test_" not in (ROOT / path).read_text()] == []
