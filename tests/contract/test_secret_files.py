"""Secrets in files: what is written there counts from then on, for the database and for the model."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from antiphon import bootstrap
from antiphon.errors import ConfigurationError, LlmKeyRefused, StoreUnavailable
from antiphon.llm import ChatMessage, Prompt
from antiphon.masking import MASK, masked
from antiphon.secret_file import SecretFile
from antiphon.settings import read_settings
from tests.model_server import ModelServer

FIRST, SECOND = "swordfish-one", "swordfish-two"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "secret"
    found.write_text(f"{FIRST}\n")
    return found


@pytest.fixture
def role(postgres: str) -> Iterator[str]:
    """The URL of a role that needs its password, in an empty database of its own."""
    with psycopg.connect(postgres, autocommit=True) as admin:
        [(rules,)] = admin.execute("SHOW hba_file").fetchall()
        before = Path(rules).read_text()
        Path(rules).write_text(f"host all rotating all scram-sha-256\n{before}")
        admin.execute(f"CREATE ROLE rotating LOGIN PASSWORD '{FIRST}'")
        admin.execute("GRANT ALL ON SCHEMA public TO rotating")
        admin.execute("SELECT pg_reload_conf()")
        try:
            yield make_url(postgres).set(username="rotating", password="stale").render_as_string(hide_password=False)
        finally:
            Path(rules).write_text(before)
            admin.execute("SELECT pg_reload_conf()")
            admin.execute("DROP OWNED BY rotating")
            admin.execute("DROP ROLE rotating")


def test_a_database_whose_password_has_changed_is_used_on_without_a_restart(
    role: str, postgres: str, file: Path
) -> None:
    settings = read_settings(database_url=role, database_password_file=file)
    with closing(bootstrap.store(settings)) as store, psycopg.connect(postgres, autocommit=True) as admin:
        store.ping()
        admin.execute(f"ALTER ROLE rotating PASSWORD '{SECOND}'")
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'rotating'")
        with pytest.raises(StoreUnavailable) as refused:
            store.ping()
        assert "swordfish" not in str(refused.value)
        file.write_text(SECOND)
        store.ping()


async def test_a_models_key_is_read_again_for_each_request(file: Path) -> None:
    prompt = Prompt("", (ChatMessage("user", "?"),))
    with ModelServer() as server:
        llm = bootstrap.llm(read_settings(llm_url=server.url, llm_model="test-model", llm_key_file=file))
        async with llm:
            await llm.complete(prompt)
            file.write_text(SECOND)
            await llm.complete(prompt)
            file.write_text("two words")
            with pytest.raises(LlmKeyRefused, match="ANTIPHON_LLM_KEY_FILE") as refused:
                await llm.complete(prompt)
    assert [asked.headers["authorization"] for asked in server.asked] == [f"Bearer {FIRST}", f"Bearer {SECOND}"]
    assert "two words" not in str(refused.value)


def test_a_key_and_a_file_with_a_key_are_one_too_many(file: Path) -> None:
    settings = read_settings(llm_url="http://127.0.0.1:1", llm_model="m", llm_key="k", llm_key_file=file)
    with pytest.raises(ConfigurationError, match="ANTIPHON_LLM_KEY_FILE"):
        bootstrap.llm(settings)


def test_a_password_file_for_nobody_is_refused_at_the_start(file: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"sasl\.username"):
        bootstrap.kafka(read_settings(kafka_password_file=file))


def test_the_first_line_counts_and_is_masked_from_then_on(file: Path) -> None:
    file.write_text("canary-of-the-file\r\nand more\n")
    assert SecretFile(file).value() == "canary-of-the-file"
    assert masked("a canary-of-the-file") == f"a {MASK}"


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe"])
def test_a_file_without_a_secret_is_refused_without_telling_it(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match="cannot be read") as refused:
        SecretFile(file)
    assert "xff" not in str(refused.value)


def test_while_a_file_is_being_replaced_the_last_secret_stays(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    secret = SecretFile(file)
    file.unlink()
    with caplog.at_level(logging.WARNING):
        assert [secret.value(), secret.value()] == [FIRST, FIRST]
    assert len(caplog.records) == 1
    file.write_text(SECOND)
    assert secret.value() == SECOND
