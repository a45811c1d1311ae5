"""A folder keeps the contract of a blob store."""

from __future__ import annotations

from pathlib import Path

import pytest

from antiphon.blobs.file import FileBlobs
from antiphon.clocks.virtual import VirtualClock
from antiphon.errors import BlobStoreDown
from antiphon.testing.contracts.blob import DAY, BlobContract


class TestFileBlobs(BlobContract):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self.path = tmp_path / "blobs"

    def make_blobs(self, clock: VirtualClock) -> FileBlobs:
        return FileBlobs(self.path, clock)

    def damage(self, reference: str) -> None:
        (self.path / reference).write_bytes(b"other")

    def unreachable(self, clock: VirtualClock) -> FileBlobs:
        (self.path.parent / "a file").write_text("no folder")
        return FileBlobs(self.path.parent / "a file" / "blobs", clock)

    def test_what_a_crash_left_half_written_is_no_blob_and_goes_with_its_day(self, clock: VirtualClock) -> None:
        blobs = self.make_blobs(clock)
        reference = blobs.put(b"one")
        (self.path / reference).with_name(".partial-1").write_bytes(b"o")
        clock.advance(DAY)
        (found,) = blobs.older_than(clock.now())
        assert found.reference == reference
        blobs.delete(reference)
        assert list(self.path.iterdir()) == []

    def test_a_folder_that_is_none_is_told_where_it_is_read(self, clock: VirtualClock) -> None:
        blobs = self.make_blobs(clock)
        reference = blobs.put(b"one")
        (self.path / reference).unlink()
        (self.path / reference).mkdir()
        for method in (blobs.get, blobs.delete):
            with pytest.raises(BlobStoreDown, match=reference):
                method(reference)
