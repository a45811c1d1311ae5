"""Where large values lie is one setting, and `antiphon blobs sweep` goes there."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from antiphon import bootstrap
from antiphon.blobs.file import FileBlobs
from antiphon.blobs.s3 import Bucket, S3Blobs
from antiphon.broker import Outgoing, TopicPlan
from antiphon.brokers.memory import MemoryBroker
from antiphon.cli.main import cli
from antiphon.clocks.system import SystemClock
from antiphon.clocks.virtual import VirtualClock
from antiphon.errors import ConfigurationError
from antiphon.settings import read_settings


def test_a_folder_or_a_bucket_is_named_by_its_url(tmp_path: Path) -> None:
    folder = bootstrap.blobs(read_settings(blobs=f"file://{tmp_path}/large%20values"))
    assert isinstance(folder, FileBlobs)
    reference = folder.put(b"one")
    assert (tmp_path / "large values" / reference).read_bytes() == b"one"
    url = "s3://large/antiphon/one?endpoint=http://127.0.0.1:9000&region=eu-west-1"
    bucket = bootstrap.blobs(read_settings(blobs=url, blobs_key="k", blobs_secret="s"))
    assert isinstance(bucket, S3Blobs)
    assert bucket.bucket == Bucket("large", "antiphon/one", "http://127.0.0.1:9000", "eu-west-1", "k", "s")


@pytest.mark.parametrize(
    "url", ["ftp://x/y", "file://host/x", "file:x", "s3:///x", "s3://b?endpont=http://x", "/srv/blobs"]
)
def test_a_url_that_names_no_store_is_found_when_settings_are_read(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"ANTIPHON_BLOBS: .*it must be as in file:///srv/blobs"):
        read_settings(blobs=url)


def test_without_a_store_the_setting_is_named() -> None:
    with pytest.raises(ConfigurationError, match="ANTIPHON_BLOBS"):
        bootstrap.blobs(read_settings(blobs=""))


def test_the_verb_deletes_what_nothing_names_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = FileBlobs(tmp_path, VirtualClock(time.time() - 5 * 86_400))
    named, orphan = old.put(b"one"), old.put(b"two")
    young = FileBlobs(tmp_path, SystemClock()).put(b"three")
    broker = MemoryBroker(VirtualClock())
    broker.admin().create_topics([TopicPlan("antiphon.state.x", 1)])
    producer = broker.producer()
    producer.send([Outgoing("antiphon.state.x", 0, b"k", b"", [("ce_blob", named.encode())])])
    producer.flush(5.0)
    monkeypatch.setattr(bootstrap, "kafka", lambda settings: broker)
    monkeypatch.setenv("ANTIPHON_BLOBS", f"file://{tmp_path}")
    told = CliRunner().invoke(cli, ["blobs", "sweep", "--dry-run"])
    assert told.stdout == "1 blobs (3 bytes) would be deleted, 1 are named still\n"
    done = CliRunner().invoke(cli, ["blobs", "sweep", "--json"])
    assert json.loads(done.stdout)["deleted"] == [orphan]
    assert sorted(path.name for path in tmp_path.glob("*/*")) == sorted(
        reference.partition("/")[2] for reference in (named, young)
    )


def test_a_wrong_age_is_wrong_usage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANTIPHON_BLOBS", f"file://{tmp_path}")
    assert CliRunner().invoke(cli, ["blobs", "sweep", "--older-than", "old"]).exit_code == 2
