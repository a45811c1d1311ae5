"""`antiphon config show` says what is set and from where, and no secret; `.env.example` is what the settings are."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, SecretStr
from typer.testing import CliRunner, Result

from antiphon.cli.main import cli
from antiphon.masking import MASK
from antiphon.settings import Settings, example, explain, read_settings

EXAMPLE = Path(__file__).resolve().parents[2] / ".env.example"


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    for name in [name for name in os.environ if name.startswith(("ANTIPHON_", "KAFKA_"))]:
        monkeypatch.delenv(name)


def config(*words: str) -> Result:
    return CliRunner().invoke(cli, ["config", *words])


def shown() -> dict[str, tuple[Any, str]]:
    """Variable -> value and source, as programs get them."""
    result = config("show", "--json")
    assert result.exit_code == 0
    return {row["variable"]: (row["value"], row["source"]) for row in json.loads(result.stdout)}


@pytest.mark.promise("S0-59")
def test_the_example_is_what_the_settings_are() -> None:
    assert EXAMPLE.read_text("utf-8") == example(), "run `antiphon config example > .env.example`"


@pytest.mark.promise("S0-59")
def test_a_copy_of_the_example_changes_nothing(tmp_path: Path) -> None:
    before = read_settings(replica="same")
    (tmp_path / ".env").write_text(EXAMPLE.read_text("utf-8"), "utf-8")
    assert read_settings(replica="same") == before
    assert read_settings().replica != read_settings().replica
    found = {row.variable: row.source for row in explain(read_settings())}
    assert set(found.values()) == {"default", ".env"}
    without = {line.removesuffix("=") for line in example().splitlines() if line.endswith("=")}
    assert {"ANTIPHON_REPLICA", "ANTIPHON_LLM_KEY"} <= without
    assert {name for name, source in found.items() if source == "default"} == without


def test_the_example_has_every_setting_once() -> None:
    names = [line.partition("=")[0] for line in example().splitlines() if line and not line.startswith("#")]
    assert names == [f"ANTIPHON_{name.upper()}" for name in Settings.model_fields]
    assert config("example").stdout == example()
    assert list(json.loads(config("example", "--json").stdout)) == names


@pytest.mark.promise("S0-57")
def test_without_any_variable_everything_is_a_default_and_the_port_is_8003() -> None:
    assert {source for _, source in shown().values()} == {"default"}
    assert shown()["ANTIPHON_PORT"] == (8003, "default")


def test_a_value_says_where_it_comes_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ANTIPHON_PORT=1\nANTIPHON_METRICS_PORT=2\nantiphon_grace=3\nANTIPHON_HOST=\n")
    monkeypatch.setenv("ANTIPHON_PORT", "4")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "shared:9092")
    monkeypatch.setenv("ANTIPHON_PREFIX", "")
    found = shown()
    assert found["ANTIPHON_PORT"] == (4, "environment")
    assert found["ANTIPHON_METRICS_PORT"] == (2, ".env")
    assert found["ANTIPHON_GRACE"] == (3.0, ".env")
    assert found["ANTIPHON_BOOTSTRAP_SERVERS"] == ("shared:9092", "environment")
    assert found["ANTIPHON_PREFIX"] == ("antiphon.", "default")
    assert found["ANTIPHON_HOST"] == ("127.0.0.1", "default")


def test_people_get_a_line_for_each_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTIPHON_PREFIX", "[bold]fleet[/].")
    head, *lines = config("show").stdout.splitlines()
    assert head.split() == ["variable", "value", "source", "description"]
    assert [line.split()[0] for line in lines] == [f"ANTIPHON_{name.upper()}" for name in Settings.model_fields]
    assert "[bold]fleet[/]." in lines[list(Settings.model_fields).index("prefix")]


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("postgresql+psycopg://anne:secret@db:5432/fleet", f"postgresql+psycopg://anne:{MASK}@db:5432/fleet"),
        ("postgresql://anne@db/fleet", "postgresql://anne@db/fleet"),
        ("postgresql://db/fleet?user=anne&password=secret", f"postgresql://db/fleet?user={MASK}&password={MASK}"),
        ("postgresql://anne:sec/ret@db/fleet", MASK),
        ("postgresql://anne:sec?ret@db/fleet", MASK),
        ("postgresql://anne:sec#ret@db/fleet", MASK),
        ("postgresql://anne:sec@ret@db/fleet", MASK),
        ("postgresql://anne:secret@[db/fleet", MASK),
        ("secret", MASK),
    ],
)
@pytest.mark.parametrize("verb", [["show"], ["show", "--json"]])
def test_no_password_is_shown(monkeypatch: pytest.MonkeyPatch, url: str, masked: str, verb: list[str]) -> None:
    monkeypatch.setenv("ANTIPHON_DATABASE_URL", url)
    result = config(*verb)
    assert result.exit_code == 0
    assert "secret" not in result.stdout
    assert shown()["ANTIPHON_DATABASE_URL"] == (masked, "environment")


def test_of_the_clients_settings_only_what_is_harmless_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"security.protocol": "SASL_SSL", "sasl.password": "secret", "ssl.key.pem": "secret", "linger.ms": 5}
    given |= {"ssl.key.password": 4711}
    monkeypatch.setenv("ANTIPHON_KAFKA", json.dumps(given))
    assert not {word for word in ("secret", "4711") if word in config("show").stdout}
    value, source = shown()["ANTIPHON_KAFKA"]
    assert value == {
        "security.protocol": "SASL_SSL", "sasl.password": MASK, "ssl.key.pem": MASK, "linger.ms": 5,
        "ssl.key.password": MASK,
    }  # fmt: skip
    assert source == "environment"


def test_a_secret_by_its_type_is_masked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class More(Settings):
        token: SecretStr | None = Field(None, description="whatever it opens")

    monkeypatch.setenv("ANTIPHON_TOKEN", "secret")
    kind: Any = More
    (row,) = [row for row in explain(kind()) if row.variable == "ANTIPHON_TOKEN"]
    assert row.source == "environment"
    assert "secret" not in json.dumps(row)


def test_a_wrong_variable_is_exit_code_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTIPHON_PORT", "http")
    result = config("show")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "ANTIPHON_PORT" in result.stderr
