"""Dead letters as a store has to keep and find them; part of the suite in `store.py`."""

from __future__ import annotations

from itertools import permutations

import pytest

from antiphon.lifecycle import Failure, letter_id
from antiphon.store import DeadLetterRow, LetterMark, LetterPosition, LetterQuery, Place, Store
from antiphon.testing.contracts.store_harness import PROJECTION, StoreHarness, bare, letter

OTHER = Failure(code="undecodable", error_class="U", message="süß_ \x00", retryable=False, causes=[])


class LettersContract(StoreHarness):
    """Dead letters are kept whole, marked in any order, listed by any condition."""

    def bury(self, store: Store, *letters: DeadLetterRow) -> None:
        with store.fold(PROJECTION, store.progress(PROJECTION)) as folding:
            folding.bury(letters)

    def mark(self, store: Store, *marks: LetterMark) -> None:
        with store.fold(PROJECTION, store.progress(PROJECTION)) as folding:
            folding.mark(marks)

    def found(self, store: Store, **wanted: object) -> list[int]:
        """The offsets of the dead letters that meet this."""
        return [row.place.offset for row in store.dead_letters(LetterQuery(**wanted))]  # type: ignore[arg-type]

    @pytest.mark.promise("S0-42")
    def test_a_dead_letter_is_kept_whole_and_listed_without_its_content(self, store: Store) -> None:
        whole = letter(1)
        empty = letter(2, 200.0, message_type=None, handler=None, record_key=None, record_value=None, record_headers=[])
        self.bury(store, whole, empty)

        assert store.dead_letters(LetterQuery()) == [bare(empty), bare(whole)]
        assert store.whole_letters([whole.letter_id, empty.letter_id, "nobody"]) == {
            whole.letter_id: whole,
            empty.letter_id: empty,
        }

    def test_of_several_dead_letters_of_one_name_the_first_in_the_log_counts(self, store: Store) -> None:
        first = letter(1)
        again = DeadLetterRow(Place("antiphon.dead-letters", 0, 9), letter(1, attempts=9).letter)
        assert first.letter_id == again.letter_id

        for order in ([first, again], [again, first], [again], [first]):
            self.bury(store, *order)

        assert store.whole_letters([first.letter_id]) == {first.letter_id: first}

    def test_message_service_handler_and_generation_name_a_dead_letter(self, store: Store) -> None:
        named = ("processors", letter().letter.message_id, "process", 2)
        others = (("mailer", *named[1:]), (*named[:2], None, 2), (*named[:3], 3), (named[0], "m-1", *named[2:]))

        assert letter().letter_id == letter_id(*named)
        assert len({letter_id(*named), *(letter_id(*other) for other in others)}) == 5

    @pytest.mark.promise("S0-42")
    def test_what_has_become_of_a_dead_letter_does_not_depend_on_the_order_of_the_facts(self, store: Store) -> None:
        facts = [("redriving", 200.0), ("discarding", 300.0), ("redriven", 250.0), None]
        for number, order in enumerate(permutations(facts), 1):
            row = letter(number)
            for fact in order:
                if fact is None:
                    self.bury(store, row)
                else:
                    self.mark(store, LetterMark(row.letter_id, *fact))  # type: ignore[arg-type]
            assert store.dead_letters(LetterQuery(ids=[row.letter_id])) == [bare(row, "redriven")], order

    def test_the_latest_wish_counts_until_the_letter_is_closed(self, store: Store) -> None:
        row = letter()
        self.bury(store, row)
        seen = []
        for state, at in (("redriving", 1.0), ("discarding", 2.0), ("redriving", 1.5), ("discarded", 1.0)):
            self.mark(store, LetterMark(row.letter_id, state, at))  # type: ignore[arg-type]
            seen += [found.state for found in store.dead_letters(LetterQuery())]
        assert seen == ["redriving", "discarding", "discarding", "discarded"]

    def test_every_condition_narrows_a_list_of_dead_letters(self, store: Store) -> None:
        second = letter(2, 200.0, service="mailer", message_type="antiphon.mailer.Send", handler="send")
        self.bury(store, letter(1, 100.0), second, letter(3, 300.0, failure=OTHER))
        self.mark(store, LetterMark(second.letter_id, "redriving", 400.0))

        assert self.found(store) == [3, 2, 1]
        assert self.found(store, oldest_first=True) == [1, 2, 3]
        assert self.found(store, service="mailer") == [2]
        assert self.found(store, message_type="antiphon.mailer.Send") == [2]
        assert self.found(store, handler="process", code="failed") == [1]
        assert self.found(store, code="undecodable") == [3]
        assert self.found(store, state="open") == [3, 1]
        assert self.found(store, state="redriving") == [2]
        assert self.found(store, since=200.0, until=299.9) == [2]
        assert self.found(store, ids=[second.letter_id, "nobody"]) == [2]
        assert self.found(store, ids=[]) == []
        assert self.found(store, service="no\x00such") == []

    def test_dead_letters_are_found_by_what_the_error_said(self, store: Store) -> None:
        self.bury(store, letter(1, 100.0), letter(2, 200.0, failure=OTHER))

        assert self.found(store, text="no numbers") == [1]
        assert self.found(store, text="100%") == [1]
        assert self.found(store, text="%") == [1], "it stands for itself"
        assert self.found(store, text="_") == [2]
        assert self.found(store, text="süß") == [2]

    @pytest.mark.parametrize("oldest_first", [False, True])
    def test_pages_of_dead_letters_neither_repeat_nor_miss_any(self, store: Store, oldest_first: bool) -> None:
        self.bury(store, *(letter(n, 100.0 + n // 3 / 7) for n in range(20)))
        expected = self.found(store, oldest_first=oldest_first)
        seen: list[int] = []
        after: LetterPosition | None = None
        for _ in range(20):
            page = store.dead_letters(LetterQuery(after=after, limit=3, oldest_first=oldest_first))
            if not page:
                break
            seen += [row.place.offset for row in page]
            after = LetterPosition(page[-1].given_up_at, page[-1].letter_id)

        assert seen == expected
        assert len(seen) == 20

    def test_thousands_are_marked_at_once_and_forgotten_with_the_rest(self, store: Store) -> None:
        many = [letter(n) for n in range(1, 2_001)]
        self.bury(store, *many)
        self.mark(store, *(LetterMark(row.letter_id, "redriving", 1.0) for row in many))

        assert len(store.dead_letters(LetterQuery(state="redriving", limit=5_000))) == 2_000
        assert len(store.whole_letters([row.letter_id for row in many])) == 2_000
        store.forget(PROJECTION)
        self.bury(store, many[0])
        assert [row.state for row in store.dead_letters(LetterQuery())] == ["open"]
