"""What tests of workflows share."""

from __future__ import annotations

import pytest

from antiphon import App


@pytest.fixture
def app() -> App:
    return App("maintenance")
