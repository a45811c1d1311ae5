"""Lists of commands and their histories, as a store has to give them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from antiphon.store import (
    CommandQuery,
    ListPosition,
    Store,
    Tag,
)
from antiphon.testing.contracts.store_harness import (
    PROJECTION,
    StoreHarness,
    entry,
    row,
    submission,
)


class ListingContract(StoreHarness):
    """Commands are found by time, type, status and label; histories are appended to."""

    # listing

    def listed(self, store: Store, **wanted: object) -> list[str]:
        return [found.row.command_id for found in store.commands(CommandQuery(**wanted))]  # type: ignore[arg-type]

    def test_commands_are_listed_newest_first(self, store: Store) -> None:
        store.submit(submission("c-1", created_at=300.0))
        sighted = row("c-3", created_at=None, started_at=400.0, origin=None)
        self.folded(store, row("c-2", created_at=200.0), sighted, row("c-4", created_at=200.0))

        assert self.listed(store) == ["c-3", "c-1", "c-4", "c-2"]
        assert self.listed(store, limit=2) == ["c-3", "c-1"]
        assert store.commands(CommandQuery(limit=2))[1] == self.stored(store, "c-1")

    def test_the_time_that_a_client_was_told_decides_the_place_in_a_list(self, store: Store) -> None:
        store.submit(submission("c-1", created_at=300.0))
        self.folded(store, row("c-1", created_at=100.0), row("c-2", created_at=200.0))

        assert self.listed(store) == ["c-1", "c-2"]
        assert self.listed(store, since=300.0) == ["c-1"]

    def test_every_condition_narrows_a_list(self, store: Store) -> None:
        self.folded(
            store,
            row("c-1", created_at=100.0, status="failed"),
            row("c-2", created_at=200.0, status="completed"),
            row("c-3", created_at=300.0, status="failed", command_type="validate_input"),
        )

        assert self.listed(store, status="failed") == ["c-3", "c-1"]
        assert self.listed(store, command_type="process_data") == ["c-2", "c-1"]
        assert self.listed(store, status="failed", command_type="process_data") == ["c-1"]
        assert self.listed(store, since=200.0) == ["c-3", "c-2"]
        assert self.listed(store, status="failed", since=200.5) == ["c-3"]
        assert self.listed(store, command_type="no\x00such") == []

    @pytest.mark.promise("S0-40")
    def test_commands_are_found_by_their_labels(self, store: Store) -> None:
        store.submit(submission("c-1", tags={"team": "blue", "tier": "gold"}))
        self.folded(store, row("c-2", tags={"team": "red"}), row("c-3", tags={"team": "blue"}), row("c-4", tags={}))

        assert sorted(self.listed(store, tags=[Tag("team")])) == ["c-1", "c-2", "c-3"]
        assert sorted(self.listed(store, tags=[Tag("team", "blue")])) == ["c-1", "c-3"]
        assert self.listed(store, tags=[Tag("team", "blue"), Tag("tier")]) == ["c-1"]
        assert self.listed(store, tags=[Tag("blue")]) == []

    def test_labels_follow_the_row(self, store: Store) -> None:
        store.submit(submission("c-1", tags={"a": "1"}))
        store.submit(submission("c-2", tags={"a": "1"}))
        store.withdraw("c-2")
        self.folded(store, row("c-1", tags={"b": "2"}), row("c-3", tags={"b": "2"}))

        assert self.listed(store, tags=[Tag("a", "1")]) == []
        assert sorted(self.listed(store, tags=[Tag("b", "2")])) == ["c-1", "c-3"]
        store.forget(PROJECTION)
        assert self.listed(store, tags=[Tag("b", "2")]) == ["c-1"]

    def test_labels_of_any_length_are_kept_and_found(self, store: Store) -> None:
        long = {"ü" * 5_000: "\U0001f600" * 20_000, "ü" * 5_000 + "x": "1", "nul\x00": "nul\x00"}
        self.folded(store, row("c-1", tags=long))

        assert self.listed(store, tags=[Tag("ü" * 5_000)]) == ["c-1"]
        assert self.listed(store, tags=[Tag("nul\x00", "nul\x00")]) == ["c-1"]
        assert len(self.stored(store).row.tags) == 3

    def test_pages_neither_repeat_nor_miss_what_was_there(self, store: Store) -> None:
        self.folded(store, *(row(f"c-{n:02}", created_at=100.0 + n // 3 / 7) for n in range(20)))
        expected = self.listed(store)
        seen: list[str] = []
        after: ListPosition | None = None
        for number in range(20):
            page = store.commands(CommandQuery(after=after, limit=3))
            if not page:
                break
            seen += [found.row.command_id for found in page]
            last = page[-1].row
            after = ListPosition(last.listed_at, last.command_id)
            self.folded(store, row(f"new-{number}", created_at=900.0 + number))

        assert seen == expected

    # histories

    def test_a_history_is_appended_to_and_never_changed(self, store: Store) -> None:
        later, earlier = entry(1, occurred_at=200.0), entry(2, kind="submitted", error=None, attempt=None, handler=None)
        for _ in range(2):
            with store.fold(PROJECTION, store.progress(PROJECTION)) as folding:
                folding.append([later, entry(3, "c-2"), earlier])
                folding.append([entry(1, kind="started")])

        found = store.history("c-1", 10)
        assert [each.place.offset for each in found] == [2, 1]
        assert found[0] == earlier
        assert found[1].error is not None
        assert found[1].error.message == "a\ufffdb"
        assert replace(found[1], error=later.error) == later
        assert store.history("c-1", 1) == [earlier]
        assert store.history("nobody", 10) == []

    def test_a_history_is_forgotten_with_the_rest(self, store: Store) -> None:
        with store.fold(PROJECTION, store.progress(PROJECTION)) as folding:
            folding.append([entry(1)])

        store.forget(PROJECTION)

        assert store.history("c-1", 10) == []
