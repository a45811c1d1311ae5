"""What a store does with declarations and signs of life; part of the suite in `store.py`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from antiphon.control import CommandTypeDeclared, PipelineSwitched, ProcessorDeclared, ReplicaSeen
from antiphon.declarations import Change, Controls, Removed
from antiphon.store import Store

PROJECTION = "commands"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
MAILER = ProcessorDeclared(name="mailer", command_types=["send"], instructions="süß \x00", created_at=NOON)
SEND = CommandTypeDeclared(name="send", parameters={"type": "object"}, declared_at=NOON)
PAUSED = PipelineSwitched(target="processors", paused=True, by="ada", at=NOON)


def sign(replica: str = "r-1", *, after: float = 0.0, **changes: object) -> ReplicaSeen:
    """A sign of life so many seconds after noon."""
    fields: dict[str, object] = {
        "service": "processors",
        "replica": replica,
        "started_at": NOON,
        "seen_at": NOON + timedelta(seconds=after),
        "stopped": False,
        "command_types": ["send"],
        "in_flight": 1,
        "capacity": 10,
        "processed": {"send": 3},
        "paused": [],
    }
    return ReplicaSeen.model_validate(fields | changes)


class ControlsContract:
    """Mixed into the contract of a store, whose fixture it uses."""

    def declare(self, store: Store, *changes: Change) -> None:
        with store.fold(PROJECTION, store.progress(PROJECTION)) as folding:
            folding.declare(changes)

    def see(self, store: Store, *replicas: ReplicaSeen) -> None:
        with store.fold(PROJECTION, store.progress(PROJECTION)) as folding:
            folding.see(replicas)

    def test_what_is_declared_is_read_as_it_was_said(self, store: Store) -> None:
        assert store.controls() == Controls()
        self.declare(store, MAILER, SEND, PAUSED)
        assert store.controls() == Controls({e.entry: e for e in (MAILER, SEND, PAUSED)})

    def test_the_newest_declaration_of_a_key_counts_and_a_removed_one_is_gone(self, store: Store) -> None:
        other = MAILER.model_copy(update={"instructions": "shorter"})
        self.declare(store, MAILER, other, SEND)
        assert store.controls().processors == [other]
        self.declare(store, MAILER, Removed(SEND.entry), Removed("processor/nobody"))
        assert store.controls() == Controls({MAILER.entry: MAILER})

    def test_what_is_resumed_is_not_paused_any_more(self, store: Store) -> None:
        handler = PAUSED.model_copy(update={"target": "processors/handler/send"})
        self.declare(store, PAUSED, handler, PAUSED.model_copy(update={"paused": False}))
        assert list(store.controls().switches) == [handler.target]
        self.declare(store, PAUSED, MAILER)
        self.declare(store, PipelineSwitched(target="*", paused=False, at=NOON))
        assert store.controls() == Controls({MAILER.entry: MAILER})

    def test_the_newest_sign_of_life_of_each_replica_counts_in_whatever_order_they_come(self, store: Store) -> None:
        self.see(store, sign(after=5), sign(after=0), sign("r-2", after=1))
        self.see(store, sign(after=3), sign("r-2", after=6, stopped=True))
        assert store.replicas(0) == [sign(after=5), sign("r-2", after=6, stopped=True)]
        assert store.replicas(NOON.timestamp() + 6) == [sign("r-2", after=6, stopped=True)]

    def test_a_replica_that_was_not_seen_for_a_day_is_forgotten(self, store: Store) -> None:
        self.see(store, sign())
        self.see(store, sign("r-2", after=86_401))
        assert [found.replica for found in store.replicas(0)] == ["r-2"]

    def test_a_name_that_a_database_cannot_hold_does_not_stop_a_projection(self, store: Store) -> None:
        self.see(store, sign("r\x00"))
        assert len(store.replicas(0)) == 1

    def test_declarations_and_replicas_are_forgotten_with_everything_folded(self, store: Store) -> None:
        self.declare(store, MAILER)
        self.see(store, sign())
        store.forget(PROJECTION)
        assert (store.controls(), store.replicas(0)) == (Controls(), [])
