"""Expressions over a row: a small part of Python's grammar, read by Python's parser and never run as Python."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from antiphon import Permanent
from services.messages.tables import Row, Value
from services.processors.tables import WHOLE, is_number

LONGEST = 500  # characters of an expression
DIGITS = 15  # that a number is rounded to
TEXT = 1_000  # characters that a value may grow to
DEEPEST = 50  # operations inside of one another

Evaluate = Callable[[Row], Value]


class Wrong(Exception):
    """Why there is no value; whoever catches it knows the row."""


@dataclass(frozen=True, slots=True)
class Expression:
    """`evaluate` raises Wrong; `columns` are those that it reads.

    Columns stand by name, or as `column('oil temp')`; besides them numbers, text, True, False and `missing`;
    `+ - * / // %`, `< <= == != >= >`, `in [..]`, `and or not`, `a if b else c`, and FUNCTIONS. Arithmetic with a
    missing value is missing; that such a value is greater or less than another is false.
    """

    columns: frozenset[str]
    evaluate: Evaluate


def parse(text: str) -> Expression:
    """Permanent names the part that is not understood."""
    if len(text) > LONGEST:
        raise Permanent(f"the expression has {len(text):,} characters; at most {LONGEST} are taken")
    try:
        reading = _Reading()
        evaluate = reading.node(ast.parse(text.strip(), mode="eval").body)
        return Expression(frozenset(reading.columns), evaluate)
    except SyntaxError as error:
        raise Permanent(f"{text!r} is no expression: {error.msg}") from None
    except (ValueError, MemoryError, RecursionError) as error:
        raise Permanent(f"{text!r} is no expression: {error or 'it is nested too deeply'}") from None


class _Reading(ast.NodeVisitor):
    """From the parser's nodes to functions of a row; a kind of node without a method of its own is refused."""

    def __init__(self) -> None:
        self.columns: set[str] = set()
        self._depth = 0

    def node(self, node: ast.AST) -> Evaluate:
        self._depth += 1
        if self._depth > DEEPEST:
            raise Permanent(f"the expression is nested more than {DEEPEST} deep: compute a part of it in a step before")
        found: Evaluate = self.visit(node)
        self._depth -= 1
        return found

    def generic_visit(self, node: ast.AST) -> Evaluate:
        raise Permanent(f"an expression cannot hold {ast.unparse(node)!r}; it may hold {_GRAMMAR}")

    def visit_Constant(self, node: ast.Constant) -> Evaluate:
        value = node.value
        if not isinstance(value, bool | int | float | str):
            raise Permanent(f"{ast.unparse(node)!r} is neither a number nor text, True or False")
        return _always(_bounded(value))

    def visit_Name(self, node: ast.Name) -> Evaluate:
        return _always(None) if node.id == "missing" else self._column(node.id)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Evaluate:
        inner = self.node(node.operand)
        if isinstance(node.op, ast.Not):
            return lambda row: not _truth(inner(row))
        if isinstance(node.op, ast.USub):
            return lambda row: _arithmetic(operator.sub, 0, inner(row))
        return self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> Evaluate:
        calculate = _ARITHMETIC.get(type(node.op))
        if calculate is None:
            return self.generic_visit(node)
        left, right = self.node(node.left), self.node(node.right)
        return lambda row: _arithmetic(calculate, left(row), right(row))

    def visit_BoolOp(self, node: ast.BoolOp) -> Evaluate:
        parts = [self.node(part) for part in node.values]
        joined = all if isinstance(node.op, ast.And) else any
        return lambda row: joined(_truth(part(row)) for part in parts)

    def visit_IfExp(self, node: ast.IfExp) -> Evaluate:
        condition, then, other = self.node(node.test), self.node(node.body), self.node(node.orelse)
        return lambda row: then(row) if _truth(condition(row)) else other(row)

    def visit_Compare(self, node: ast.Compare) -> Evaluate:
        compared: list[Callable[[Row], bool]] = []
        for left, sign, right in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False):
            if isinstance(sign, ast.In | ast.NotIn):
                compared.append(self._membership(left, right, wanted=isinstance(sign, ast.In)))
            elif (compare := _COMPARISONS.get(type(sign))) is not None:
                compared.append(_comparison(compare, self.node(left), self.node(right)))
            else:
                raise Permanent(f"an expression cannot hold {ast.unparse(node)!r}: write == or != for `is`")
        return lambda row: all(holds(row) for holds in compared)

    def visit_Call(self, node: ast.Call) -> Evaluate:
        name = node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)
        if name == "column" and len(node.args) == 1 and isinstance(node.args[0], ast.Constant) and not node.keywords:
            return self._column(str(node.args[0].value))
        if name not in FUNCTIONS or node.keywords:
            raise Permanent(f"there is no function {ast.unparse(node)!r}; there are column, {', '.join(FUNCTIONS)}")
        function, arguments = FUNCTIONS[name], [self.node(argument) for argument in node.args]
        return lambda row: _called(name, function, [argument(row) for argument in arguments])

    def _membership(self, left: ast.expr, right: ast.expr, *, wanted: bool) -> Callable[[Row], bool]:
        if not isinstance(right, ast.List | ast.Tuple):
            raise Permanent(f"behind `in` stands a list, as in ['a', 'b'], not {ast.unparse(right)!r}")
        value, items = self.node(left), [self.node(item) for item in right.elts]
        return lambda row: (value(row) in [item(row) for item in items]) is wanted

    def _column(self, name: str) -> Evaluate:
        self.columns.add(name)
        return lambda row: row[name]


_GRAMMAR = "columns, numbers, text, + - * / // %, comparisons, `in [..]`, and, or, not, `a if b else c` and functions"
_ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def _always(value: Value) -> Evaluate:
    return lambda _: value


def _bounded(value: Any) -> Value:
    """The value if a message can hold it; Wrong if not."""
    if isinstance(value, float) and not math.isfinite(value):
        raise Wrong("the number becomes too large")
    if isinstance(value, int) and abs(value) >= WHOLE:
        raise Wrong("the whole number becomes too large")
    if isinstance(value, str) and len(value) > TEXT:
        raise Wrong(f"the text becomes longer than {TEXT:,} characters")
    found: Value = value
    return found


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _arithmetic(calculate: Callable[[Any, Any], Any], left: Value, right: Value) -> Value:
    if left is None or right is None:
        return None
    joins = calculate is operator.add and isinstance(left, str) and isinstance(right, str)
    if not joins and not (_is_number(left) and _is_number(right)):
        raise Wrong(f"{left!r} and {right!r} cannot be calculated with")
    try:
        return _bounded(calculate(left, right))
    except ZeroDivisionError:
        raise Wrong(f"{left!r} is divided by zero") from None
    except OverflowError:
        raise Wrong("the number becomes too large") from None


def _comparison(compare: Callable[[Any, Any], bool], left: Evaluate, right: Evaluate) -> Callable[[Row], bool]:
    def holds(row: Row) -> bool:
        one, other = left(row), right(row)
        if compare in (operator.eq, operator.ne):
            return compare(one, other)
        if one is None or other is None:
            return False
        if not (_is_number(one) and _is_number(other)) and not (isinstance(one, str) and isinstance(other, str)):
            raise Wrong(f"{one!r} and {other!r} cannot be compared")
        return compare(one, other)

    return holds


def _truth(value: Value) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    raise Wrong(f"{value!r} is neither true nor false")


def _called(name: str, function: Callable[..., Any], arguments: Sequence[Value]) -> Value:
    if name != "coalesce" and None in arguments:
        return None
    try:
        return _bounded(function(*arguments))
    except (TypeError, ValueError, OverflowError):
        told = ", ".join(map(repr, arguments))
        raise Wrong(f"{name}({told}) has no value") from None


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number(value: Any) -> float | int:
    if isinstance(value, str) and not is_number(value.strip()):
        raise ValueError(value)
    number = float(value)
    return int(value) if number.is_integer() and abs(number) < 2**53 else number


def _round(value: Any, digits: int = 0) -> Any:
    """Half to even, as Python does; a whole number without digits. So many digits only: 10**digits is worked out."""
    if not -DIGITS <= digits <= DIGITS:
        raise ValueError(digits)
    return round(value, digits) if digits else round(value)


def _coalesce(*values: Value) -> Value:
    return next((value for value in values if value is not None), None)


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "abs": abs,
    "ceil": math.ceil,
    "floor": math.floor,
    "round": _round,
    "min": lambda first, *more: min(first, *more) if more else first,
    "max": lambda first, *more: max(first, *more) if more else first,
    "lower": str.lower,
    "upper": str.upper,
    "strip": str.strip,
    "length": len,
    "text": _text,
    "number": _number,
    "coalesce": _coalesce,
}
