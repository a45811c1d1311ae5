"""Who sends what: as handlers declare it, and as far as their source shows it."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from antiphon.catalogue import Catalogue
from antiphon.handler import Handler
from antiphon.messages import Command, Event, Message

How = Literal["call", "send", "publish", "compensate", "signal", "answer"]
_METHODS: tuple[How, ...] = ("call", "send", "publish", "compensate", "signal")


class Edge(NamedTuple):
    """A handler of a service sends (or, of a signal, waits for) messages of a type."""

    service: str
    handler: str
    how: How
    type: str


@dataclass(slots=True)
class Sending:
    """What is known of it, with the classes that leave, and in `unknown` what could not be seen: one line each."""

    edges: list[Edge] = field(default_factory=list)
    kinds: dict[str, type[Message]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)


def sent_by(catalogue: Catalogue) -> Sending:
    """What all handlers and workflows of the catalogue send; nothing of them is run."""
    found = Sending()
    for service, app in sorted(catalogue.apps.items()):
        for handler in (*app.commands, *app.workflows, *app.events):
            edges = {Edge(service, handler.name, how, wire): None for how, wire in _declared(handler)}
            for how, kind, where in _seen(handler.fn):
                if kind is None:
                    found.unknown.append(f"what {handler.name} of {service} gives to ctx.{how} ({where})")
                    continue
                edges[Edge(service, handler.name, how, kind.type_name())] = None
                if how != "signal":  # that one comes to the instance alone
                    found.kinds[kind.type_name()] = kind
            found.edges += edges
    return found


def _declared(handler: Handler) -> Iterator[tuple[How, str]]:
    """An event that answers a command is published as well."""
    if handler.kind is Command and handler.returns is not None:
        how: How = "publish" if issubclass(handler.returns, Event) else "answer"
        yield how, handler.returns.type_name()


def _seen(fn: Callable[..., Any]) -> Iterator[tuple[How, type[Message] | None, str]]:
    """Calls of a context's methods in the source of a function, and of those beside it that it gives its context."""
    todo, done = [inspect.unwrap(fn)], set()
    while todo:
        each = todo.pop()
        code = getattr(each, "__code__", None)
        if code is None or code in done:
            continue
        done.add(code)
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(each)))
        except (OSError, TypeError, SyntaxError):
            yield "send", None, f"the source of {each.__qualname__} is not there"
            continue
        scope = _Scope(each, tree)
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            if (how := scope.method(call)) is not None:
                line = code.co_firstlineno + call.lineno - 1
                yield how, scope.message(call), f"{code.co_filename}:{line}"
            elif (other := scope.given_context(call)) is not None:
                todo.append(other)


class _Scope:
    """The names that a function sees."""

    def __init__(self, fn: Callable[..., Any], tree: ast.AST) -> None:
        closed = inspect.getclosurevars(fn) if inspect.isfunction(fn) else None
        self._names: dict[str, Any] = dict(getattr(fn, "__globals__", {}))
        if closed is not None:
            self._names |= closed.nonlocals
        self._module = getattr(fn, "__module__", "")
        parameters = list(inspect.signature(fn).parameters)
        self._contexts = {name for name in parameters if name in ("ctx", "context")} or set(parameters[1:2])
        self._made: dict[str, ast.expr] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
                self._made[node.targets[0].id] = node.value

    def method(self, call: ast.Call) -> How | None:
        """Which method of the context it calls, of those that are looked for."""
        found = call.func
        if isinstance(found, ast.Attribute) and isinstance(found.value, ast.Name) and found.value.id in self._contexts:
            return next((how for how in _METHODS if how == found.attr), None)
        return None

    def message(self, call: ast.Call) -> type[Message] | None:
        """The class of what is given first: `X(…)`, a name that was assigned that, or for a signal `X` itself."""
        given = call.args[0] if call.args else None
        if isinstance(given, ast.Name) and given.id in self._made:
            given = self._made[given.id]
        if isinstance(given, ast.Call):
            given = given.func
        found = None if given is None else self._value(given)
        return found if isinstance(found, type) and issubclass(found, Message) else None

    def given_context(self, call: ast.Call) -> Callable[..., Any] | None:
        """The function of the same module that is called with the context."""
        if not any(isinstance(each, ast.Name) and each.id in self._contexts for each in call.args):
            return None
        found = self._value(call.func)
        return found if inspect.isfunction(found) and found.__module__ == self._module else None

    def _value(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Name):
            return self._names.get(node.id)
        if isinstance(node, ast.Attribute):
            return getattr(self._value(node.value), node.attr, None)
        return None
