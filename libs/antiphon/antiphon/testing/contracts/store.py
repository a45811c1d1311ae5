"""The contract of a store as tests: what the gateway and the projections rely on, shown on a real database."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from antiphon.broker import Partition
from antiphon.errors import ProjectionSuperseded
from antiphon.lifecycle import Failure
from antiphon.store import (
    CommandRow,
    LetterQuery,
    Progress,
    Store,
)
from antiphon.testing.contracts.store_controls import ControlsContract
from antiphon.testing.contracts.store_harness import (
    LOG,
    PROJECTION,
    StoreHarness,
    letter,
    row,
    submission,
)
from antiphon.testing.contracts.store_letters import LettersContract
from antiphon.testing.contracts.store_listing import ListingContract
from antiphon.testing.contracts.store_pruning import PruningContract
from antiphon.testing.contracts.store_workflows import WorkflowsContract

__all__ = ["StoreContract", "StoreHarness", "letter", "row", "submission"]


class StoreContract(ListingContract, LettersContract, ControlsContract, WorkflowsContract, PruningContract):
    """Subclass it, implement `make_store`, and pytest holds your store to the contract."""

    # what the gateway relies on

    def test_a_submission_is_a_pending_row_at_once(self, store: Store) -> None:
        assert store.submit(submission())

        found = self.stored(store)

        assert (found.row.status, found.row.command_type, found.row.service) == (
            "pending",
            "process_data",
            "processors",
        )
        assert (found.row.correlation_id, found.row.priority, found.row.tags) == (
            "order 17",
            "normal",
            {"team": "sued"},
        )
        assert (found.row.created_at, found.row.updated_at, found.row.origin) == (100.0, 100.0, None)
        assert (found.metadata, found.body_hash, found.due_at) == (submission().metadata, "cd" * 16, 160.0)

    def test_a_second_submission_of_an_id_changes_nothing(self, store: Store) -> None:
        store.submit(submission())

        assert not store.submit(submission(body_hash="ef" * 16, created_at=500.0))

        assert self.stored(store).body_hash == "cd" * 16
        assert self.stored(store).row.created_at == 100.0

    def test_of_submissions_of_one_id_at_the_same_time_one_wins(self, store: Store) -> None:
        others = [self.make_store() for _ in range(4)]
        together = threading.Barrier(len(others))
        outcomes: list[bool] = []

        def submit(mine: Store) -> None:
            together.wait(timeout=10)
            outcomes.append(mine.submit(submission()))

        threads = [threading.Thread(target=submit, args=(mine,)) for mine in others]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
        for mine in others:
            mine.close()

        assert sorted(outcomes) == [False, False, False, True]

    def test_an_id_whose_record_came_another_way_is_taken(self, store: Store) -> None:
        self.folded(store, row())

        assert not store.submit(submission())
        assert self.stored(store).body_hash is None

    def test_an_unknown_id_has_no_row(self, store: Store) -> None:
        assert store.command("nobody") is None
        assert store.versions(["nobody"]) == {}

    def test_the_version_grows_with_every_change_of_a_row(self, store: Store) -> None:
        store.submit(submission())
        seen = [store.versions(["c-1", "nobody"])]
        for status in ("processing", "failed"):
            self.folded(store, row(status=status))
            seen.append(store.versions(["c-1"]))

        assert [set(versions) for versions in seen] == [{"c-1"}] * 3
        assert seen[0]["c-1"] < seen[1]["c-1"] < seen[2]["c-1"]
        assert self.stored(store).version == seen[2]["c-1"]

    # submissions that are produced again

    def test_a_submission_is_due_until_its_record_was_seen(self, store: Store) -> None:
        store.submit(submission())
        store.submit(submission("c-2", due_at=150.0))

        assert store.due(149.9, 10) == []
        assert [due.command_id for due in store.due(160.0, 10)] == ["c-2", "c-1"]
        assert [due.command_id for due in store.due(160.0, 1)] == ["c-2"]
        assert store.due(160.0, 10)[1] == submission()

        self.folded(store, row("c-2", status="pending"))
        assert [due.command_id for due in store.due(160.0, 10)] == ["c-1"]
        assert self.stored(store, "c-2").due_at is None

    def test_overdue_submissions_are_counted_until_their_records_were_seen(self, store: Store) -> None:
        assert store.standing(10_000.0) == ((), 0, None)
        store.submit(first := submission("c-1", created_at=100.0, due_at=160.0))
        store.submit(submission("c-2", created_at=50.0, due_at=170.0))
        assert store.standing(159.0)[1:] == (0, None)
        assert store.standing(160.0)[1:] == (1, 100.0)
        assert store.standing(170.0)[1:] == (2, 50.0)
        store.defer(first, 500.0)
        assert store.standing(170.0)[1:] == (1, 50.0)

    def test_connections_are_told_as_they_are(self, store: Store) -> None:
        before = store.connections.in_use
        with store.fold(PROJECTION, store.progress(PROJECTION)):
            assert store.connections.in_use == before + 1
        assert store.connections.in_use == before

    def test_a_submission_that_was_started_is_not_due_though_its_record_was_not_seen(self, store: Store) -> None:
        store.submit(submission())
        self.folded(store, row(status="processing", origin=None))

        assert store.due(160.0, 10) == []

    def test_a_submission_is_deferred_by_one_replica_only(self, store: Store) -> None:
        store.submit(submission())
        (due,) = store.due(160.0, 10)

        assert store.defer(due, 220.0)
        assert not store.defer(due, 230.0)
        assert self.stored(store).due_at == 220.0

    def test_a_submission_whose_record_was_seen_is_not_deferred(self, store: Store) -> None:
        store.submit(submission())
        (due,) = store.due(160.0, 10)
        self.folded(store, row())

        assert not store.defer(due, 220.0)

    def test_a_submission_is_withdrawn_unless_it_was_seen(self, store: Store) -> None:
        store.submit(submission())
        store.submit(submission("c-2"))
        self.folded(store, row("c-2"))

        store.withdraw("c-1")
        store.withdraw("c-2")

        assert store.command("c-1") is None
        assert store.command("c-2") is not None

    # what a projection relies on

    def test_a_row_is_read_as_it_was_saved(self, store: Store) -> None:
        bare = CommandRow("c-2", "antiphon.other.Thing", "other")
        self.folded(store, row(), bare)

        assert self.stored(store).row == row()
        assert self.stored(store, "c-2").row == bare
        with store.fold(PROJECTION, store.progress(PROJECTION)) as folding:
            assert folding.rows(["c-1", "c-2", "nobody"]) == {"c-1": row(), "c-2": bare}

    def test_more_rows_than_a_statement_takes_parameters_are_folded(self, store: Store) -> None:
        many = [row(f"c-{number}") for number in range(2_000)]
        self.folded(store, *many)

        with store.fold(PROJECTION, store.progress(PROJECTION)) as folding:
            found = folding.rows([made.command_id for made in many])
        assert found == {made.command_id: made for made in many}

    def test_a_character_that_a_database_cannot_hold_does_not_stop_a_projection(self, store: Store) -> None:
        assert row().error is not None
        failure = Failure(code="failed", error_class="E", message="a\x00b", retryable=False, causes=[])
        self.folded(store, row(correlation_id="x\x00y", tags={"k\x00": "v\x00"}, error=failure))

        found = self.stored(store).row
        assert (found.correlation_id, found.tags) == ("x\ufffdy", {"k\ufffd": "v\ufffd"})
        assert found.error is not None
        assert found.error.message == "a\ufffdb"

    def test_what_the_gateway_promised_outlives_folding(self, store: Store) -> None:
        store.submit(submission())
        self.folded(store, row(created_at=101.0))

        found = self.stored(store)
        assert found.row == row(created_at=100.0)
        assert (found.metadata, found.body_hash) == (submission().metadata, "cd" * 16)

    def test_rows_and_positions_are_committed_together_or_not_at_all(self, store: Store) -> None:
        self.folded(store, at={LOG: 5})

        def fold_and_fail() -> None:
            with store.fold(PROJECTION, store.progress(PROJECTION)) as folding:
                folding.save([row()])
                folding.bury([letter(1, 100.0)])
                folding.move({LOG: 9})
                raise RuntimeError("the process dies here")

        with pytest.raises(RuntimeError):
            fold_and_fail()

        assert store.command("c-1") is None
        assert store.dead_letters(LetterQuery()) == []
        assert store.progress(PROJECTION).positions == {LOG: 5}

    def test_a_projection_that_never_was_has_no_positions(self, store: Store) -> None:
        assert store.progress("nobody") == Progress(0, {})

    def test_positions_that_are_not_moved_stay(self, store: Store) -> None:
        other = Partition("antiphon.lifecycle", 0)
        self.folded(store, at={LOG: 5, other: 1})
        self.folded(store, at={LOG: 6})

        assert store.progress(PROJECTION) == Progress(2, {LOG: 6, other: 1})

    @pytest.mark.parametrize("before", [0, 1])
    def test_of_two_replicas_that_fold_from_the_same_positions_one_is_superseded(
        self, store: Store, before: int
    ) -> None:
        for _ in range(before):
            self.folded(store)
        mine = theirs = store.progress(PROJECTION)
        with store.fold(PROJECTION, theirs) as folding:
            folding.move({LOG: 7})

        def lose() -> None:
            with store.fold(PROJECTION, mine) as folding:
                folding.save([row()])
                folding.move({LOG: 5})

        with pytest.raises(ProjectionSuperseded):
            lose()
        assert store.command("c-1") is None
        assert store.progress(PROJECTION).positions == {LOG: 7}

    def test_replicas_that_race_commit_every_step_exactly_once(self, store: Store) -> None:
        replicas = [self.make_store() for _ in range(3)]
        steps = 30

        def fold_all(mine: Store) -> None:
            tries = 0
            while (tries := tries + 1) < 10_000 and (progress := mine.progress(PROJECTION)).positions.get(
                LOG, 0
            ) < steps:
                try:
                    with mine.fold(PROJECTION, progress) as folding:
                        found = folding.rows(["c-1"]).get("c-1", row(attempts=0))
                        folding.save([replace(found, attempts=found.attempts + 1)])
                        folding.move({LOG: progress.positions.get(LOG, 0) + 1})
                except ProjectionSuperseded:
                    continue

        threads = [threading.Thread(target=fold_all, args=(mine,)) for mine in replicas]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=50)
        for mine in replicas:
            mine.close()

        assert store.progress(PROJECTION).positions == {LOG: steps}
        assert self.stored(store).row.attempts == steps

    def test_what_was_folded_is_forgotten_and_what_was_promised_is_not(self, store: Store) -> None:
        store.submit(submission())
        store.submit(submission("c-2"))
        with store.fold(PROJECTION, store.progress(PROJECTION)) as folding:
            folding.save([row(), row("c-3")])
            folding.bury([letter(1, 100.0)])
            folding.move({LOG: 9})
        before = store.progress(PROJECTION)

        store.forget(PROJECTION)

        assert store.command("c-3") is None
        assert store.dead_letters(LetterQuery()) == []
        assert store.progress(PROJECTION).positions == {}
        assert store.progress(PROJECTION).version > before.version
        forgotten = self.stored(store)
        assert (forgotten.row.status, forgotten.row.error, forgotten.row.created_at) == ("pending", None, 100.0)
        assert forgotten.body_hash == "cd" * 16
        assert [due.command_id for due in store.due(160.0, 10)] == ["c-2"], "c-1 is in the log, c-2 may not be"

    def test_rows_outlive_the_store(self, store: Store) -> None:
        store.submit(submission())

        again = self.make_store()
        try:
            again.ping()
            assert again.command("c-1") == store.command("c-1")
        finally:
            again.close()
