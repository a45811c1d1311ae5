"""Log lines of a whole process, ours and those of every library alike: JSON, or for people at a terminal."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor

from antiphon.attempt import current_attempt
from antiphon.masking import MASK, conceal, masked

Format = Literal["json", "console"]
EXECUTIONS = "antiphon.executions"
_LOUD = ("httpx", "httpcore", "aiokafka", "alembic")  # what they tell at INFO is of no use to whoever operates
_SECRET = ("password", "passwd", "secret", "authorization", "api_key", "api-key", "apikey", "private_key", "credential")
_OWN = ("event", "level", "logger", "timestamp", "service", "replica")


@dataclass(frozen=True, slots=True)
class LogOptions:
    """`level` is a name of logging's; without a `format` a terminal gets `console`, anything else JSON.

    With `executions` every attempt has its line at its end, else only those that failed. `service` and `replica` stand
    in every line that does not say more.
    """

    level: str = "INFO"
    format: Format | None = None
    executions: bool = False
    service: str = ""
    replica: str = ""


def begin_logging(options: LogOptions, stream: TextIO | None = None) -> None:
    """Every line of this process goes to `stream` (standard error) from now on; a later call begins anew."""
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter(options, terminal=stream.isatty()))
    root = logging.getLogger()
    for before in list(root.handlers):
        if getattr(before, "_antiphon", False):
            root.removeHandler(before)
    handler._antiphon = True  # type: ignore[attr-defined]
    root.addHandler(handler)
    root.setLevel(options.level)
    quiet = options.level != "DEBUG"
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.WARNING if quiet else logging.NOTSET)
    shown = options.executions or not quiet
    logging.getLogger(EXECUTIONS).setLevel(logging.NOTSET if shown else logging.WARNING)
    logging.captureWarnings(True)


def begin_child(options: LogOptions, secrets: Sequence[str]) -> None:
    """The same in a child of this process, to which its settings are unknown."""
    conceal(*secrets)
    begin_logging(options)


def formatter(options: LogOptions, *, terminal: bool = False) -> logging.Formatter:
    """What makes lines of records: who, when, about which message, and nothing that is secret."""
    as_json = options.format == "json" or (options.format is None and not terminal)
    renderer: Processor = structlog.processors.JSONRenderer(default=str, ensure_ascii=False)
    if not as_json:
        plain = structlog.dev.plain_traceback
        renderer = structlog.dev.ConsoleRenderer(colors=terminal, exception_formatter=plain)
    steps: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        _Origin(options.service, options.replica),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        _without_secrets,
        renderer,
    ]
    return structlog.stdlib.ProcessorFormatter(foreign_pre_chain=steps, processors=last)


class _Origin:
    """Adds the process, and the attempt that runs where the line is written."""

    def __init__(self, service: str, replica: str) -> None:
        self._fixed = {name: value for name, value in (("service", service), ("replica", replica)) if value}

    def __call__(self, _: Any, __: str, event: EventDict) -> EventDict:
        event.pop("message", None)  # the text once more, where another handler has formatted the record before
        event.pop("color_message", None)  # and uvicorn's text for terminals
        attempt = current_attempt.get()
        if attempt is not None:
            for name, value in attempt.labels().items():
                event.setdefault(name, value)
        for name, value in self._fixed.items():
            event.setdefault(name, value)
        return event


def _without_secrets(_: Any, __: str, event: EventDict) -> EventDict:
    for name, value in event.items():
        if name not in _OWN or name == "event":
            event[name] = concealed(name, value)
    return event


def concealed(name: str, value: Any) -> Any:
    """The value of this name without secrets: none of it if its name says that it is one."""
    if any(word in name.lower() for word in _SECRET):
        return MASK
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, MutableMapping):
        return {key: concealed(str(key), each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [concealed(name, each) for each in value]
    return value if value is None or isinstance(value, int | float) else masked(str(value))
