"""The contract of a blob store as tests: what references and sweeping rely on, wherever the bytes lie."""

from __future__ import annotations

from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import pytest

from antiphon.blob import REFERENCE, Blob, Blobs
from antiphon.clocks.virtual import VirtualClock
from antiphon.errors import BlobDamaged, BlobMissing, BlobStoreDown

DAY = 86_400.0
BEGIN = 1_800_000_000.0 - 1_800_000_000.0 % DAY + DAY / 2  # noon, UTC
LARGE = bytes(range(256)) * 20_000  # 5 MB


class BlobContract(ABC):
    """Subclass it with `make_blobs`, `damage` and `unreachable`."""

    @abstractmethod
    def make_blobs(self, clock: VirtualClock) -> Blobs:
        """An empty store; called again in one test, it is the same one."""

    @abstractmethod
    def damage(self, reference: str) -> None:
        """Change the bytes of a blob behind the store's back."""

    @abstractmethod
    def unreachable(self, clock: VirtualClock) -> Blobs:
        """A store that cannot be reached, or is not there."""

    @pytest.fixture
    def clock(self) -> VirtualClock:
        """Time of the store."""
        return VirtualClock(BEGIN)

    @pytest.fixture
    def blobs(self, clock: VirtualClock) -> Blobs:
        """The store under test."""
        return self.make_blobs(clock)

    @pytest.mark.parametrize("value", [b"", b"\x00", b"one", LARGE], ids=["empty", "zero", "short", "large"])
    def test_what_was_put_is_there_for_every_replica(self, blobs: Blobs, clock: VirtualClock, value: bytes) -> None:
        reference = blobs.put(value)
        assert blobs.get(reference) == value
        assert self.make_blobs(clock).get(reference) == value

    def test_a_reference_is_the_day_and_the_digest(self, blobs: Blobs) -> None:
        reference = blobs.put(b"one")
        assert REFERENCE.fullmatch(reference)
        assert reference.endswith("/" + sha256(b"one").hexdigest())

    def test_the_same_value_put_again_is_the_same_blob(self, blobs: Blobs, clock: VirtualClock) -> None:
        first = blobs.put(b"one")
        assert (blobs.put(b"one"), self.make_blobs(clock).put(b"one")) == (first, first)
        assert blobs.put(b"two") != first
        assert len(list(blobs.older_than(clock.now() + DAY))) == 2

    def test_many_may_put_and_get_the_same_at_once(self, blobs: Blobs) -> None:
        with ThreadPoolExecutor(8) as pool:
            references = set(pool.map(blobs.put, [LARGE] * 16))
            (reference,) = references
            assert set(pool.map(blobs.get, [reference] * 8)) == {LARGE}

    def test_what_was_deleted_is_gone_and_may_be_put_again(self, blobs: Blobs) -> None:
        reference, other = blobs.put(b"one"), blobs.put(b"two")
        blobs.delete(reference)
        blobs.delete(reference)
        with pytest.raises(BlobMissing, match=reference):
            blobs.get(reference)
        assert blobs.get(other) == b"two"
        assert blobs.put(b"one") == reference
        assert blobs.get(reference) == b"one"

    def test_days_that_have_ended_are_listed_the_oldest_first(self, blobs: Blobs, clock: VirtualClock) -> None:
        oldest = blobs.put(b"one")
        clock.advance(DAY)
        again, younger = blobs.put(b"one"), blobs.put(b"three")
        clock.advance(DAY)
        blobs.put(b"today")
        assert oldest != again
        found = list(blobs.older_than(clock.now()))
        assert found[0] == Blob(oldest, 3)
        assert set(found[1:]) == {Blob(again, 3), Blob(younger, 5)}
        assert list(blobs.older_than(BEGIN + DAY)) == [Blob(oldest, 3)]
        assert list(blobs.older_than(BEGIN)) == []

    def test_what_is_deleted_while_it_is_listed_does_not_disturb_the_list(
        self, blobs: Blobs, clock: VirtualClock
    ) -> None:
        put = {blobs.put(str(number).encode()) for number in range(20)}
        clock.advance(DAY)
        seen = set()
        for blob in blobs.older_than(clock.now()):
            blobs.delete(blob.reference)
            seen.add(blob.reference)
        assert seen == put
        assert list(blobs.older_than(clock.now())) == []

    def test_a_blob_that_is_not_what_was_put_is_never_handed_out(self, blobs: Blobs) -> None:
        reference = blobs.put(b"one")
        self.damage(reference)
        with pytest.raises(BlobDamaged, match=reference):
            blobs.get(reference)

    @pytest.mark.parametrize(
        "reference", ["", "../../etc/passwd", "2026-11-21/../x", "2026-11-21/" + "g" * 64, "/" + "a" * 64]
    )
    def test_what_can_be_no_reference_never_becomes_a_path(self, blobs: Blobs, reference: str) -> None:
        for method in (blobs.get, blobs.delete):
            with pytest.raises(BlobMissing, match="is no reference of a blob"):
                method(reference)

    def test_a_store_that_cannot_be_reached_says_so(self, clock: VirtualClock) -> None:
        blobs = self.unreachable(clock)
        with pytest.raises(BlobStoreDown, match="cannot be written"):
            blobs.put(b"one")
