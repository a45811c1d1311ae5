"""Real readings of engines and cars, which do not come with the project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def shared_data() -> Path:
    """Their folder; the test is skipped where it is absent."""
    folder = Path(os.environ.get("ANTIPHON_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real readings: set ANTIPHON_SHARED_DATA; {folder} is absent")
    return folder
