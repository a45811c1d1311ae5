"""Settings: every one has a default and a description, and a wrong one is told by the name of its variable."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from antiphon.errors import ConfigurationError
from antiphon.settings import Settings, read_settings


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("KAFKA_BOOTSTRAP_SERVERS", *(f"ANTIPHON_{field.upper()}" for field in Settings.model_fields)):
        monkeypatch.delenv(name, raising=False)


def test_without_any_variable_everything_is_local() -> None:
    settings = read_settings()
    assert (settings.bootstrap_servers, settings.partitions) == ("127.0.0.1:9092", 12)
    assert (settings.host, settings.port, settings.metrics_host, settings.metrics_port) == (
        "127.0.0.1", 8003, "127.0.0.1", 9100,
    )  # fmt: skip


def test_every_setting_says_in_a_line_what_it_is() -> None:
    for name, field in Settings.model_fields.items():
        assert re.fullmatch(r"[^\n]{5,100}", field.description or ""), name


def test_variables_are_read_with_their_types(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTIPHON_PARTITIONS", "4")
    monkeypatch.setenv("ANTIPHON_FILES_DIR", "/srv/files")
    monkeypatch.setenv("ANTIPHON_KAFKA", '{"security.protocol": "SASL_SSL", "socket.timeout.ms": 5000}')
    settings = read_settings()
    assert (settings.partitions, settings.files_dir) == (4, Path("/srv/files"))
    assert settings.kafka == {"security.protocol": "SASL_SSL", "socket.timeout.ms": 5000}


def test_a_file_is_read_and_the_environment_wins_over_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ANTIPHON_PORT=1\nANTIPHON_METRICS_PORT=2\nSOMETHING_ELSE=3\n")
    monkeypatch.setenv("ANTIPHON_PORT", "4")
    settings = read_settings()
    assert (settings.port, settings.metrics_port) == (4, 2)


def test_the_name_that_other_tools_use_for_the_cluster_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOTSTRAP_SERVERS", "somebody-elses:9092")
    assert read_settings().bootstrap_servers == "127.0.0.1:9092"
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "shared:9092")
    assert read_settings().bootstrap_servers == "shared:9092"
    monkeypatch.setenv("ANTIPHON_BOOTSTRAP_SERVERS", "own:9092")
    assert read_settings().bootstrap_servers == "own:9092"
    assert read_settings(bootstrap_servers="given:9092").bootstrap_servers == "given:9092"


def test_an_empty_variable_counts_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTIPHON_FILES_DIR", "")
    monkeypatch.setenv("ANTIPHON_PARTITIONS", "")
    assert (read_settings().files_dir, read_settings().partitions) == (None, 12)


def test_every_wrong_variable_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTIPHON_PARTITIONS", "0")
    monkeypatch.setenv("ANTIPHON_PORT", "http")
    monkeypatch.setenv("ANTIPHON_PROFILE", "rabbit")
    with pytest.raises(ConfigurationError) as refusal:
        read_settings()
    assert [line.partition(":")[0] for line in refusal.value.mistakes] == [
        "ANTIPHON_PROFILE", "ANTIPHON_PARTITIONS", "ANTIPHON_PORT",
    ]  # fmt: skip
    assert "not 'rabbit'" in str(refusal.value)


@pytest.mark.parametrize("value", ["{", '{"sasl.password": ["secret"]}', '["secret"]'])
def test_what_may_hold_a_password_is_never_shown(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("ANTIPHON_KAFKA", value)
    with pytest.raises(ConfigurationError, match="ANTIPHON_KAFKA") as refusal:
        read_settings()
    assert "secret" not in str(refusal.value)


def test_settings_can_be_logged() -> None:
    shown = repr(read_settings(kafka={"sasl.password": "secret"}, database_url="postgresql://u:secret@db/x"))
    assert "secret" not in shown


def test_settings_do_not_change_and_no_two_processes_have_the_same_name() -> None:
    settings = read_settings()
    with pytest.raises(ValidationError):
        settings.port = 1
    assert settings.replica != read_settings().replica
