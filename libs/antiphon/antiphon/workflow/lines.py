"""Which line of a workflow made a step, or where it stands."""

from __future__ import annotations

import sys
from functools import lru_cache
from types import CodeType, TracebackType
from typing import Any

Line = tuple[
    CodeType, int
]  # and the index of an instruction in it: the number of the line is found when it is asked for

_HERE = __file__.rpartition("lines.py")[0]


def caller() -> Line:
    """Whoever called the function that asks."""
    frame = sys._getframe(2)
    return frame.f_code, frame.f_lasti


def line() -> Line:
    """The nearest caller outside of this package."""
    frame = sys._getframe(2)
    while _is_ours(frame.f_code.co_filename) and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_code, frame.f_lasti


@lru_cache(maxsize=4096)
def _is_ours(file: str) -> bool:
    return file.startswith(_HERE)


def line_text(found: Line) -> str:
    """File, line and function, as people read them."""
    code, index = found
    for begin, end, number in code.co_lines():
        if begin <= index < end and number is not None:
            return f"{code.co_filename}:{number} in {code.co_qualname}"
    return f"{code.co_filename}:{code.co_firstlineno} in {code.co_qualname}"


def standing(coroutine: Any) -> list[Line]:
    """Where a suspended coroutine stands: its own line, then the lines of what it awaits."""
    found = []
    while (frame := getattr(coroutine, "cr_frame", None)) is not None:
        if not frame.f_code.co_filename.startswith(_HERE):
            found.append((frame.f_code, frame.f_lasti))
        coroutine = coroutine.cr_await
    return found


def standing_text(coroutine: Any) -> str:
    """`standing` in words; the innermost line is the last."""
    return " → ".join(map(line_text, standing(coroutine))) or "the workflow"


def raised_text(error: BaseException, beside: str = "") -> str:
    """The innermost line that raised an error, outside of this package and of files with `beside` in their path."""
    found: tuple[CodeType, int] | None = None
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not (file.startswith(_HERE) or (beside and beside in file)):
            found = (trace.tb_frame.f_code, trace.tb_lasti)
        trace = trace.tb_next
    return "the workflow" if found is None else line_text(found)
