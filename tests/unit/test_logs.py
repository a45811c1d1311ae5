"""Log lines: the same form for everybody's, the attempt that they belong to, and no secrets."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from antiphon import App, BatchContext, Context, Retry
from antiphon.envelope import TENANT
from antiphon.masking import MASK, conceal
from antiphon.telemetry.logs import EXECUTIONS, LogOptions, begin_logging
from tests.processing.messages import Calls, Count, Counted, counting
from tests.processing.world import World
from tests.spans import TRACE, TRACEPARENT

ID = "0b0e6a1c-6e52-4d53-9d5c-0ba2a9c2f0aa"
LOGGERS = ("", EXECUTIONS, "httpx", "httpcore", "aiokafka", "alembic", "py.warnings")


class Lines(io.StringIO):
    """Standard error of a process that has begun."""

    def begin(self, **options: Any) -> None:
        begin_logging(LogOptions(**{"format": "json", "service": "counting", "replica": "counting-0"} | options), self)

    @property
    def found(self) -> list[dict[str, Any]]:
        """Every line, as a program reads them."""
        return [json.loads(line) for line in self.getvalue().splitlines()]

    def of(self, logger: str) -> list[dict[str, Any]]:
        """The lines of one logger."""
        return [line for line in self.found if line["logger"] == logger]


@pytest.fixture
def lines() -> Iterator[Lines]:
    root, levels = logging.getLogger(), {name: logging.getLogger(name).level for name in LOGGERS}
    before = list(root.handlers)
    yield Lines()
    logging.captureWarnings(False)
    root.handlers[:] = before
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def handled(app: App, *amounts: int, **headers: str) -> World:
    world = World(app, partitions=1)
    world.worker(app)
    world.serve()
    world.send(*(world.record(Count(name="a", amount=amount), **headers) for amount in amounts))
    world.turn(200)
    assert len(world.settled()) == len(amounts)
    return world


def test_a_line_of_any_library_is_json_with_its_time_level_logger_and_process(lines: Lines) -> None:
    lines.begin()
    logging.getLogger("somebody.else").warning("%d of %s", 3, "them", extra={"more": {"a": 1}})
    [line] = lines.found
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "3 of them",
        "level": "warning",
        "logger": "somebody.else",
        "service": "counting",
        "replica": "counting-0",
        "more": {"a": 1},
    }


@pytest.mark.parametrize("asynchronous", [True, False])
def test_a_line_of_a_handler_says_which_attempt_of_which_message_it_is(lines: Lines, asynchronous: bool) -> None:
    lines.begin()
    app, log = App("counting"), logging.getLogger("counted")

    async def waiting(command: Count, ctx: Context) -> Counted:
        log.info("here")
        return Counted(name=command.name, total=1)

    def plain(command: Count, ctx: Context) -> Counted:
        log.info("here")
        return Counted(name=command.name, total=1)

    if asynchronous:
        app.command()(waiting)
    else:
        app.command()(plain)
    handled(app, 1, ce_id=ID, ce_correlationid="order 17", traceparent=TRACEPARENT, **{TENANT: "acme"})
    log.info("outside")
    here, outside = lines.of("counted")
    name = waiting.__qualname__ if asynchronous else plain.__qualname__
    assert {key: here[key] for key in here.keys() - outside.keys()} == {
        "handler": name,
        "attempt": 1,
        "message_id": ID,
        "correlation_id": "order 17",
        "type": "antiphon.counting.Count",
        "topic": "antiphon.commands.counting",
        "partition": 0,
        "offset": 0,
        "tenant": "acme",
        "trace_id": TRACE,
    }
    assert outside["service"] == here["service"] == "counting"


def test_a_line_of_a_batch_handler_says_which_call_it_is(lines: Lines) -> None:
    lines.begin()
    app, log = App("counting"), logging.getLogger("counted")

    @app.batch(size=2, within="10ms")
    def count(commands: list[Count], ctx: BatchContext) -> list[Counted]:
        log.info("here")
        return [Counted(name=command.name, total=1) for command in commands]

    world = World(app, partitions=1)
    world.worker(app)
    world.serve()
    world.send(world.record(Count(name="a")), world.record(Count(name="b")))
    world.turn(20)
    [here] = lines.of("counted")
    told = {key: here[key] for key in ("service", "handler", "topic", "messages")}
    name = count.__qualname__
    assert told == {"service": "counting", "handler": name, "topic": "antiphon.commands.counting", "messages": 2}


@pytest.mark.promise("S0-48")
def test_every_attempt_has_a_line_at_its_end_if_that_is_wanted(lines: Lines) -> None:
    lines.begin(executions=True)
    calls = Calls()
    calls.fail = [RuntimeError("not yet")]
    handled(counting(calls), 1, ce_id=ID)
    first, second = lines.of(EXECUTIONS)
    told = ("message_id", "attempt", "outcome", "level", "event")
    handler = "counting.<locals>.count"
    assert [first[key] for key in told] == [
        ID,
        1,
        "failed",
        "warning",
        f"{handler} failed, and is tried again: not yet",
    ]
    assert [second[key] for key in told] == [ID, 2, "succeeded", "info", f"{handler} succeeded"]
    assert 1 <= first["retry_in"] < 1.5
    assert second["seconds"] >= 0


@pytest.mark.promise("S0-48")
def test_without_that_only_failures_have_one_and_what_nobody_meant_its_traceback(lines: Lines) -> None:
    lines.begin()
    calls = Calls()
    calls.fail = [KeyError("nobody meant it") for _ in range(3)]
    handled(counting(calls), 1)
    *tried, last = lines.of(EXECUTIONS)
    assert [line.get("exception") for line in tried] == [None, None]
    assert "calls.note(" in last["exception"]
    handled(counting(), 1, -1)
    line = lines.of(EXECUTIONS)[3]
    assert (line["outcome"], line["attempt"]) == ("failed", 1)
    assert "amount is -1; it must be positive" in line["event"]
    assert "exception" not in line


def test_no_line_has_anything_of_a_messages_content(lines: Lines) -> None:
    lines.begin(executions=True, level="DEBUG")
    app = App("counting")

    @app.command(retry=Retry())
    def count(command: Count, ctx: Context) -> Counted:
        return Counted(name=command.name, total=981_273)

    handled(app, 981_273)
    assert lines.of(EXECUTIONS)
    assert "981273" not in lines.getvalue()


def test_secrets_are_masked_by_what_they_are_and_by_what_they_are_called(lines: Lines) -> None:
    lines.begin()
    conceal("canary-of-the-logs")
    log = logging.getLogger("careless")
    try:
        raise RuntimeError("no login with canary-of-the-logs")
    except RuntimeError:
        log.exception("Authorization: Bearer canary12345", extra={"api_key": "canary", "deep": {"password": "canary"}})
    log.warning("%s", {"sasl.password": "canary"}, extra={"listed": ["pwd=canary"], "any": ValueError("pwd=canary")})
    first, second = lines.found
    assert "canary" not in lines.getvalue()
    assert (first["api_key"], first["deep"]) == (MASK, {"password": MASK})
    assert "RuntimeError: no login with" in first["exception"]
    assert second["listed"] == [f"pwd={MASK}"]


def test_at_a_terminal_lines_are_for_people(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "isatty", lambda: True)
    lines.begin(format=None)
    logging.getLogger("somebody").warning("look here, password=canary")
    assert "look here" in lines.getvalue()
    assert "canary" not in lines.getvalue()
    with pytest.raises(json.JSONDecodeError):
        _ = lines.found


def test_beginning_again_repeats_no_line(lines: Lines) -> None:
    lines.begin()
    lines.begin()
    logging.getLogger("somebody").warning("once")
    assert len(lines.found) == 1
