"""Instances of workflows in a store."""

from __future__ import annotations

from dataclasses import replace

import pytest

from antiphon.store import ListPosition, Parked, Progress, Store, TurnRow, WorkflowQuery, WorkflowRow
from antiphon.testing.contracts.store_harness import PROJECTION, StoreHarness


def instance(number: int = 1, started_at: float | None = 100.0, **changes: object) -> WorkflowRow:
    """An instance in whose row every field is filled."""
    full = WorkflowRow(
        instance_id=f"00000000-0000-4000-8000-{number:012}",
        service="maintenance",
        partition=3,
        run=2,
        turns=2**40,
        whole=False,
        workflow="maintain_vehicle",
        version=2,
        correlation_id="order 17",
        tenant="süd",
        status="parked",
        note="waits for Ada",
        parked=Parked(2, 7, "differs", "recorded a call, made a timer", 1_800_000_000.25),
        started_at=started_at,
        updated_at=1_800_000_000.25,
        ended_at=1_800_000_001.5,
        due_at=1_800_000_002.5,
        waiting=3,
        open_approvals=1,
        summary='{"id": "x"}',
    )
    return replace(full, **changes)  # type: ignore[arg-type]


class WorkflowsContract(StoreHarness):
    """Rows of instances, and the records of their turns."""

    def known(self, store: Store, *rows: WorkflowRow, turns: tuple[TurnRow, ...] = ()) -> None:
        with store.fold(PROJECTION, store.progress(PROJECTION)) as folding:
            folding.keep_turns(turns)
            folding.save_workflows(rows)

    def numbers(self, store: Store, **query: object) -> list[int]:
        return [int(row.instance_id[-12:]) for row in store.workflows(WorkflowQuery(**query))]  # type: ignore[arg-type]

    def test_an_instance_is_kept_whole(self, store: Store) -> None:
        bare = WorkflowRow("00000000-0000-4000-8000-000000000002", "maintenance", -1)
        self.known(store, instance(), bare)

        assert store.workflow(instance().instance_id) == instance()
        assert store.workflow(bare.instance_id) == bare
        assert store.workflow("nobody") is None
        assert store.workflow("no\x00body") is None

    def test_a_row_of_an_instance_is_replaced(self, store: Store) -> None:
        self.known(store, instance())
        self.known(store, changed := instance(status="completed", parked=None, summary=None, note="a\ufffdb"))

        assert store.workflow(changed.instance_id) == changed
        with store.fold(PROJECTION, store.progress(PROJECTION)) as folding:
            assert folding.workflows([changed.instance_id, "nobody"]) == {changed.instance_id: changed}

    def test_what_has_not_ended_is_counted_by_workflow(self, store: Store) -> None:
        self.known(
            store,
            instance(1, 300.0),
            instance(2, 200.0, status="waiting"),
            instance(3, 100.0, status="completed"),
            instance(4, 400.0, status="running", due_at=None),
            instance(5, 500.0, status="running", workflow="sell"),
        )

        mine, others = store.standing(600.0).workflows
        assert mine == ("maintain_vehicle", 3, 1, 2, 200.0)
        assert others == ("sell", 1, 0, 1, 500.0)

    def test_every_condition_narrows_a_list_of_instances(self, store: Store) -> None:
        self.known(
            store,
            instance(1, 100.0, open_approvals=0),
            instance(2, 200.0, status="completed", tenant="west", open_approvals=0),
            instance(3, 300.0, service="sales", workflow="sell", correlation_id="order 18", status="waiting"),
        )

        assert self.numbers(store) == [3, 2, 1]
        assert self.numbers(store, service="sales") == [3]
        assert self.numbers(store, workflow="maintain_vehicle") == [2, 1]
        assert self.numbers(store, status="parked") == [1]
        assert self.numbers(store, correlation_id="order 18") == [3]
        assert self.numbers(store, tenant="west") == [2]
        assert self.numbers(store, since=200.0) == [3, 2]
        assert self.numbers(store, live=True) == [3, 1]
        assert self.numbers(store, asking=True) == [3]
        assert self.numbers(store, tenant="no\x00such") == []

    def test_summaries_come_with_those_that_ask_and_not_with_long_lists(self, store: Store) -> None:
        self.known(store, instance())

        assert [row.summary for row in store.workflows(WorkflowQuery())] == [None]
        assert [row.summary for row in store.workflows(WorkflowQuery(asking=True))] == ['{"id": "x"}']

    def test_pages_of_instances_neither_repeat_nor_miss_any(self, store: Store) -> None:
        self.known(store, *(instance(n, 100.0 + n // 3 / 7) for n in range(20)))
        seen: list[str] = []
        after: ListPosition | None = None
        for _ in range(20):
            page = store.workflows(WorkflowQuery(after=after, limit=3))
            if not page:
                break
            seen += [row.instance_id for row in page]
            after = ListPosition(page[-1].listed_at, page[-1].instance_id)

        assert len(seen) == len(set(seen)) == 20
        assert seen == [row.instance_id for row in store.workflows(WorkflowQuery())]

    @pytest.mark.promise("S1-42")
    def test_turns_are_kept_once_and_told_in_order(self, store: Store) -> None:
        turns = [TurnRow("i", run, turn, b"%d\x00\xff" % turn) for run in (1, 2) for turn in (1, 2, 11)]
        self.known(store, turns=(*reversed(turns), TurnRow("other", 1, 1, b"")))
        self.known(store, turns=(turns[0]._replace(record=b"another"),))

        assert store.turns("i", (0, 0), 100) == turns
        assert store.turns("i", (1, 2), 2) == turns[2:4]
        assert store.turns("nobody", (0, 0), 100) == []
        with store.fold(PROJECTION, store.progress(PROJECTION)) as folding:
            assert folding.turns("i", 2) == turns[3:]

    def test_instances_are_forgotten_with_the_rest(self, store: Store) -> None:
        self.known(store, instance(), turns=(TurnRow("i", 1, 1, b"x"),))
        store.forget(PROJECTION)

        assert store.workflows(WorkflowQuery()) == []
        assert store.turns("i", (0, 0), 9) == []
        assert store.progress(PROJECTION) == Progress(store.progress(PROJECTION).version, {})
