"""What a store forgets, and what it keeps however old it is."""

from __future__ import annotations

from antiphon.store import CommandQuery, LetterMark, LetterQuery, Store, Tag, TurnRow, WorkflowQuery
from antiphon.testing.contracts.store_harness import PROJECTION, StoreHarness, entry, letter, row, submission
from antiphon.testing.contracts.store_workflows import instance

OLD, THEN, NEW = 100.0, 200.0, 300.0


class PruningContract(StoreHarness):
    """Rows of what ended long ago."""

    def test_a_command_that_ended_before_then_goes_with_all_that_is_known_of_it(self, store: Store) -> None:
        old, new = row("c-1", updated_at=OLD), row("c-2", updated_at=NEW)
        with store.fold(PROJECTION, store.progress(PROJECTION)) as folding:
            folding.save([old, new])
            folding.append([entry(1, "c-1"), entry(2, "c-2")])

        assert store.prune(THEN, 10) == 1
        assert store.command("c-1") is None
        assert store.history("c-1", 10) == []
        assert [found.row.command_id for found in store.commands(CommandQuery(tags=(Tag("team", "süd"),)))] == ["c-2"]
        assert len(store.history("c-2", 10)) == 1
        assert store.prune(THEN, 10) == 0

    def test_what_has_not_ended_stays_however_old_it_is(self, store: Store) -> None:
        self.folded(store, row("c-1", status="processing", updated_at=OLD))
        store.submit(submission("c-2"))

        assert store.prune(THEN, 10) == 0
        assert self.stored(store, "c-1")
        assert self.stored(store, "c-2")

    def test_a_command_stays_until_its_dead_letter_is_decided(self, store: Store) -> None:
        buried = letter(1, OLD, message_id="c-1")
        with store.fold(PROJECTION, store.progress(PROJECTION)) as folding:
            folding.save([row("c-1", status="dead_lettered", updated_at=OLD)])
            folding.bury([buried])
        assert store.prune(THEN, 10) == 0

        with store.fold(PROJECTION, store.progress(PROJECTION)) as folding:
            folding.mark([LetterMark(buried.letter_id, "discarded", OLD)])

        assert store.prune(THEN, 10) == 2
        assert store.command("c-1") is None
        assert store.dead_letters(LetterQuery()) == []

    def test_a_run_that_ended_before_then_goes_with_its_turns(self, store: Store) -> None:
        ended = instance(1, status="completed", parked=None, ended_at=OLD)
        recent = instance(2, status="completed", parked=None, ended_at=NEW)
        alive = instance(3, ended_at=None)
        with store.fold(PROJECTION, store.progress(PROJECTION)) as folding:
            folding.save_workflows([ended, recent, alive])
            folding.keep_turns([TurnRow(each.instance_id, 1, 1, b"turn") for each in (ended, recent, alive)])

        assert store.prune(THEN, 10) == 1
        assert {each.instance_id for each in store.workflows(WorkflowQuery())} == {
            recent.instance_id,
            alive.instance_id,
        }
        assert store.turns(ended.instance_id, (0, 0), 10) == []
        assert len(store.turns(alive.instance_id, (0, 0), 10)) == 1

    def test_at_most_so_many_go_at_once_the_oldest_first(self, store: Store) -> None:
        self.folded(store, *(row(f"c-{number}", updated_at=OLD + number) for number in range(5)))

        assert store.prune(THEN, 2) == 2
        assert sorted(found.row.command_id for found in store.commands(CommandQuery())) == ["c-2", "c-3", "c-4"]
