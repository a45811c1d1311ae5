"""What a run keeps of the record that began it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.broker import Record
from antiphon.workflow.about import about_of, read_about

names = st.text(st.characters(codec="ascii", exclude_characters="\n"), min_size=1, max_size=20)
headers = st.lists(st.tuples(names, st.binary(max_size=40)), max_size=12)


@given(headers, st.none() | st.binary(max_size=40), st.integers(0, 1000), st.integers(-1, 2**62))
def test_all_but_the_value_comes_back(
    found: list[tuple[str, bytes]], key: bytes | None, partition: int, offset: int
) -> None:
    record = Record("antiphon.commands.trips", partition, offset, key, b"value", found, 1_763_000_000_000)
    assert read_about(about_of(record)) == record._replace(value=None)


def test_another_format_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="format"):
        read_about(b"\x07...")
