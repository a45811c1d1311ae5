"""When a command may start, as the command line is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import typer

from antiphon.cli.options import start_time


def test_a_start_is_a_time_with_its_zone_or_so_long_from_now() -> None:
    assert start_time(None, None) is None
    assert start_time("2026-11-21T10:30:00+01:00", None) == datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
    before = datetime.now(UTC)
    found = start_time(None, "10m")
    assert found is not None
    assert timedelta(minutes=10) <= found - before < timedelta(minutes=11)


@pytest.mark.parametrize("text", ["noon", "2026-11-21", "2026-11-21T10:30:00", ""])
def test_a_time_that_could_mean_several_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        start_time(text, None)
