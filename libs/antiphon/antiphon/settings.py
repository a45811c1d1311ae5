"""What an installation sets: the only reader of the environment (`ANTIPHON_…`, and a `.env` file)."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4

from pydantic import AfterValidator, AliasChoices, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, to_jsonable_python
from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource, SettingsConfigDict, SettingsError

from antiphon.errors import ConfigurationError
from antiphon.masking import MASK

PREFIX = "ANTIPHON_"
_HARMLESS = ("security.protocol", "sasl.mechanism", "sasl.mechanisms", "client.id", "ssl.ca.location")


def _has_port(url: str) -> bool:
    """Whether host and port can be read; a URL without a port has that of its scheme."""
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def _url_sources(text: str) -> str:
    """The list as it is, if every entry can be understood."""
    for entry in filter(None, map(str.strip, text.split(","))):
        if "://" not in entry:
            ip_network(entry)
        elif not (entry.isascii() and re.fullmatch(r"https?://[^/?#@\\]+(/[^?#\\]*)?", entry) and _has_port(entry)):
            raise ValueError(f"{entry!r} must be as in https://data.example.org/public or 10.1.0.0/16")
    return text


def _blob_store(text: str) -> str:
    """The URL as it is, if it names a folder or a bucket."""
    parts = urlsplit(text)
    folder = parts.scheme == "file" and not parts.netloc and parts.path.startswith("/") and not parts.query
    bucket = parts.scheme == "s3" and bool(parts.netloc) and set(parse_qs(parts.query)) <= {"endpoint", "region"}
    if text and not (folder or bucket):
        raise ValueError("it must be as in file:///srv/blobs or s3://bucket/prefix?endpoint=https://s3.example.org")
    return text


def _http_url(text: str) -> str:
    """The URL as it is, if it is one of HTTP without a password."""
    parts = urlsplit(text) if _has_port(text) else None
    if text and (parts is None or parts.scheme not in ("http", "https") or not parts.hostname or parts.username):
        raise ValueError("it must be as in http://collector:4318/v1/traces, without a password")
    return text


class Settings(BaseSettings):
    """Every setting with its default; a service needs none of them to run against a local broker.

    The environment wins over `.env` in the working directory; an empty variable counts as absent.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True, populate_by_name=True
    )

    profile: Literal["kafka", "kafka-classic"] = Field("kafka", description="the kind of cluster")
    bootstrap_servers: str = Field(
        "127.0.0.1:9092",
        validation_alias=AliasChoices("ANTIPHON_BOOTSTRAP_SERVERS", "KAFKA_BOOTSTRAP_SERVERS"),
        description="host:port,… of the cluster",
    )
    kafka: dict[str, str | int | bool] = Field(
        {}, repr=False, description="librdkafka settings for every client, as a JSON object"
    )
    kafka_password_file: Path | None = Field(
        None, description="a file with the SASL password, read again when it changes; wins over ANTIPHON_KAFKA"
    )
    prefix: str = Field("antiphon.", description="what every topic and group name begins with")
    partitions: int = Field(12, ge=1, le=10_000, description="N, the partitions of every topic; never changed later")
    replica: str = Field(
        default_factory=lambda: f"{socket.gethostname()}-{uuid4().hex[:8]}",
        description="unique name of this process among the replicas of its service",
    )
    database_url: str = Field("sqlite:///antiphon.sqlite3", repr=False, description="SQLAlchemy URL of the read side")
    database_password_file: Path | None = Field(
        None, description="a file with PostgreSQL's password, read anew for each connection; wins over the URL"
    )
    keep_days: int = Field(
        90,
        ge=0,
        description="days for which the read side keeps what has ended and closed dead letters; 0: for ever",
    )
    host: str = Field("127.0.0.1", description="where the gateway listens")
    port: int = Field(8003, ge=0, le=65_535, description="the gateway's port; 0 takes a free one")
    metrics_host: str = Field("127.0.0.1", description="where metrics and health are served")
    metrics_port: int = Field(9100, ge=0, le=65_535, description="their port; 0 takes a free one")
    max_message_bytes: int = Field(1_000_000, ge=1_000, description="the largest encoded message that is taken")
    files_dir: Path | None = Field(None, description="the folder below which services may read files")
    url_sources: Annotated[str, AfterValidator(_url_sources)] = Field(
        "", description="URL prefixes that services may read, and private networks that these may lie in, by commas"
    )
    blobs: Annotated[str, AfterValidator(_blob_store)] = Field(
        "", description="where large values lie: file:///folder, or s3://bucket/prefix?endpoint=…&region=…"
    )
    blobs_key: str | None = Field(None, description="the bucket's access key; without it, the machine's own role")
    blobs_secret: SecretStr | None = Field(None, repr=False, description="what that key signs with")
    handlers: int = Field(1000, ge=1, description="asynchronous handlers of one worker that may wait at once")
    handler_threads: int = Field(32, ge=1, description="threads of one worker for synchronous handlers")
    calculators: int = Field(
        0, ge=0, description="processes of one worker for handlers with cpu=True; 0: as many as cores"
    )
    in_flight: int = Field(2000, ge=1, description="records of one worker admitted and not committed")
    max_backlog: int = Field(
        100_000,
        ge=0,
        description="commands of a service not settled, beyond which the gateway takes no more; 0: no limit",
    )
    grace: float = Field(20.0, ge=0, description="seconds that a stopping process waits for what is in flight")
    llm_url: str | None = Field(None, description="an OpenAI-compatible server; without it an offline model answers")
    llm_key: SecretStr | None = Field(None, repr=False, description="the key that the model's server wants")
    llm_key_file: Path | None = Field(
        None, description="a file with that key, read again when it changes; in place of ANTIPHON_LLM_KEY"
    )
    llm_model: str = Field("", description="the model to ask for; with Azure OpenAI the deployment")
    llm_api_version: str | None = Field(None, description="only for Azure OpenAI's dated API: its api-version")
    llm_timeout: float = Field(60.0, gt=0, description="seconds that the model may take for one answer")
    llm_connections: int = Field(100, ge=1, description="requests to the model that may be under way at once")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="what is logged")
    log_format: Literal["json", "console"] | None = Field(
        None, description="json or console; unset: console at a terminal, else json"
    )
    log_executions: bool = Field(
        False, description="a log line at the end of every attempt of a handler; else only of those that failed"
    )
    traces: Annotated[str, AfterValidator(_http_url)] = Field(
        "", description="where spans go by OTLP/HTTP, such as http://collector:4318/v1/traces; without it none are made"
    )
    traces_ratio: float = Field(1.0, ge=0, le=1, description="which part of all new traces is recorded")
    traces_join: Literal["links", "parents"] = Field(
        "links", description="how handling is joined to sending: links between traces, or parents in one trace"
    )


def read_settings(**overrides: object) -> Settings:
    """The settings of this process; ConfigurationError names every wrong variable."""
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except SettingsError as error:
        raise ConfigurationError([f"{PREFIX}KAFKA must be a JSON object: {error.__cause__}"]) from None
    except ValidationError as error:
        raise ConfigurationError(map(_mistake, error.errors(include_url=False))) from None


def _mistake(found: ErrorDetails) -> str:
    """One wrong variable; the value is told unless it may hold a password."""
    field = str(found["loc"][0]).upper().removeprefix(PREFIX).lower()
    shown = field not in Settings.model_fields or Settings.model_fields[field].repr
    value = f", not {found['input']!r}" if shown else ""
    return f"{PREFIX}{field.upper()}: {found['msg']}{value}"


def secrets(settings: Settings) -> list[str]:
    """What must be told to nobody: every value of these settings that only its owner may know."""
    values = [getattr(settings, name) for name in Settings.model_fields]
    found = [value.get_secret_value() for value in values if isinstance(value, SecretStr)]
    found += [str(value) for name, value in settings.kafka.items() if _is_secret(name)]
    for url in (settings.database_url, settings.llm_url or ""):
        password = urlsplit(url).password if "://" in url else None
        found += [] if password is None else [password, unquote(password)]
    return found


def _is_secret(name: str) -> bool:
    """Whether one of the client's own settings is a secret by its name."""
    return any(word in name for word in ("password", "secret", "sasl.jaas", "key.pem", "token"))


class Explained(NamedTuple):
    """A setting as it holds in this process: the variable that sets it, its value, where that comes from.

    What may be a secret is masked in the value, unless it is the default.
    """

    variable: str
    value: object
    source: Literal["default", ".env", "environment"]
    description: str


def explain(settings: Settings) -> Iterator[Explained]:
    """Every setting, in the order of the class."""
    kind = type(settings)
    environment, file = EnvSettingsSource(kind)(), DotEnvSettingsSource(kind)()
    values = settings.model_dump(mode="json")
    for name, field in kind.model_fields.items():
        keys = {name, *_variables(name, field)}
        source: Literal["default", ".env", "environment"] = "default"
        if keys & environment.keys():
            source = "environment"
        elif keys & file.keys():
            source = ".env"
        value = values[name] if field.repr or source == "default" else _masked(values[name])
        yield Explained(_variables(name, field)[0], value, source, field.description or "")


def example() -> str:
    """The text of `.env.example`: every variable with its default, so that a copy of it changes nothing."""
    lines = ["# Every setting with its default. Copy to .env and change what differs; the environment wins over it."]
    for name, field in Settings.model_fields.items():
        default = to_jsonable_python(None if field.default_factory else field.default)
        text = "" if default is None else default if isinstance(default, str) else json.dumps(default)
        lines += ["", f"# {field.description}", f"{_variables(name, field)[0]}={text}"]
    return "\n".join(lines) + "\n"


def _variables(name: str, field: FieldInfo) -> list[str]:
    """The variables that set a field, the first one first."""
    alias = field.validation_alias
    found = [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else []
    return found or [alias if isinstance(alias, str) else f"{PREFIX}{name.upper()}"]


def _harmless(name: str, value: object) -> bool:
    """Whether one of the client's own settings may be shown: of texts the known ones, of numbers most."""
    return name in _HARMLESS or not (isinstance(value, str) or "password" in name or "secret" in name)


def _masked(value: object) -> object:
    """The value without what only its owner may know; all of it if that cannot be told apart."""
    if isinstance(value, Mapping):
        return {key: each if _harmless(str(key), each) else MASK for key, each in value.items()}
    if not isinstance(value, str) or "://" not in value:
        return MASK
    try:
        parts = urlsplit(value)
    except ValueError:
        return MASK
    if value.count("@") != parts.netloc.count("@") or value.count("@") > 1 or parts.fragment:
        return MASK  # a password with a sign of its own in it: no telling where it ends
    user, at, place = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    masked = f"{name}:{MASK}" if colon else name
    query = "&".join(f"{pair.partition('=')[0]}={MASK}" for pair in parts.query.split("&")) if parts.query else ""
    return f"{parts.scheme}://{masked}{at}{place}{parts.path}" + (f"?{query}" if query else "")
