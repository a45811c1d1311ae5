"""Talking to people and programs: results to stdout, everything else to stderr, errors as one clear line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn, ParamSpec

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from antiphon.errors import (
    AntiphonError,
    BrokerUnavailable,
    CommandFailed,
    ConfigurationError,
    MessageError,
    StoreUnavailable,
)

FAILED, WRONG_INPUT, OUT_OF_REACH = 1, 2, 3
out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)
P = ParamSpec("P")


def exit_codes(failed: str = "the command failed") -> str:
    """The last line of a verb's help; `failed` says what 1 means there."""
    return f"Exit codes: 0 all well; 1 {failed}; 2 wrong usage or input; 3 no cluster, database or gateway reached."


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show people on a terminal that something takes its time; programs see nothing."""
    with err.status(what):
        yield


def exit_code(error: AntiphonError) -> int:
    """What the shell is told."""
    if isinstance(error, BrokerUnavailable | StoreUnavailable):
        return OUT_OF_REACH
    if isinstance(error, ConfigurationError | MessageError):
        return WRONG_INPUT
    return FAILED


def clearly(run: Callable[P, None]) -> Callable[P, None]:
    """Errors of ours as a line, not as a traceback."""

    @wraps(run)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            run(*args, **kwargs)
        except AntiphonError as error:
            code = f" ({error.code})" if isinstance(error, CommandFailed) else ""
            fail(f"{type(error).__name__}{code}: {error}", exit_code(error))

    return wrapped


def fail(message: str, code: int) -> NoReturn:
    """Say it and leave."""
    err.print(message, style="red", markup=False, highlight=False)
    raise SystemExit(code)


def show(rows: Sequence[dict[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    """A table for people, JSON for programs."""
    if as_json:
        json.dump(list(rows), sys.stdout, indent=2, default=str)
        print()
        return
    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*(escape(str(row.get(column, ""))) for column in columns))
    out.print(table)


def show_value(value: Mapping[str, Any], *, as_json: bool) -> None:
    """One thing: a line for each of its fields on a terminal, JSON for programs and wherever else it goes."""
    if as_json or not out.is_terminal:
        show_json(value)
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, each in value.items():
        shown = each if isinstance(each, str) else json.dumps(each, default=str, ensure_ascii=False)
        table.add_row(escape(name), escape(shown))
    out.print(table)


def show_json(value: object) -> None:
    """One value as JSON."""
    json.dump(value, sys.stdout, indent=2, default=str, ensure_ascii=False)
    print(flush=True)  # a program that reads it may wait for it while the verb runs on


def read_argument(text: str) -> str:
    """The text itself, a file's content for `@file`, standard input for `-`."""
    if text == "-":
        return sys.stdin.read()
    if not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text("utf-8")
    except OSError as error:
        fail(f"{text[1:]} cannot be read: {error.strerror}", WRONG_INPUT)
    except UnicodeDecodeError:
        fail(f"{text[1:]} is not UTF-8 text", WRONG_INPUT)
