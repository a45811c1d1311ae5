"""Random plans of the agency, and what may come of them."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from antiphon.testing.simulation.agency import DECIDES, SIGNALS, Node

LEAVES = (
    *("call",) * 4,
    *("patient",) * 4,
    *("sleep",) * 2,
    *("undo",) * 2,
    *("step",) * 2,
    "async step",
    "failing step",
    "slow",
    "refused",
    "hopeless",
    "record",
    "note",
    "errand",
    "approval",
    "replaced",
    "escalated",
    "agreed",
    "declined",
    "perhaps",
    "heard",
)
INNER = ("seq", "seq", "gather", "gather", "within", "race", "limit", "try", "shield", "each")
SIMPLE = ("call", "sleep", "patient")
FAILURES = {
    "patient": {"CommandFailed"},
    "slow": {"CommandFailed"},
    "refused": {"CommandFailed"},
    "hopeless": {"CommandFailed"},
    "failing step": {"StepFailed"},
    "perhaps": {"WorkflowTimeout"},
    "heard": {"WorkflowTimeout"},
    "limit": {"WorkflowTimeout"},
    "within": {"WorkflowTimeout"},
}


class Planner:
    """Makes the plans of one seed."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def rounds(self, *, signals: bool, spoiled: str = "") -> list[Node]:
        """The trees of a journey; of each signal one wait at most, in all of them. `spoiled` is a kind of step that the
        last one has somewhere."""
        amount = self._random.choice((1, 1, 1, 2, 3))
        trees = [self._tree(self._random.choice((1, 2, 2))) for _ in range(amount)]
        if spoiled:
            before = Node(self._random.choice(("call", "sleep", "step", "agreed")), 0.3)
            last = Node("seq", children=(Node("call", 0.1), before, Node(spoiled, 1.0)))
            beside = Node("sleep", self._random.choice((0.5, 2.0)))  # its time may come while all of it is parked
            trees[-1] = Node("seq", children=(Node("gather", children=(last, beside)), trees[-1]))
        trees = [*map(_nothing_to_undo, trees[:-1]), trees[-1]]  # what a run could not undo, it may not leave
        return self._numbered(trees, {"heard"} if signals else {*SIGNALS, "perhaps", "heard"})

    def one(self, *, hears: bool) -> list[Node]:
        """That of a trip which nobody tells anything, but that may hear something."""
        tree = self._tree(2)
        if hears:
            tree = Node("seq", children=(Node("try", children=(Node("heard", 1.0), self._leaf())), tree))
        return self._numbered([tree], {*SIGNALS, "perhaps"} | (set() if hears else {"heard"}))

    def _tree(self, depth: int) -> Node:
        random = self._random
        kind = random.choice(INNER)
        size = random.randint(2, 3)
        if kind == "each":
            children = tuple(Node(random.choice(SIMPLE), self._seconds()) for _ in range(size))
        else:
            children = tuple(
                self._leaf() if depth < 2 or random.random() < 0.5 else self._tree(depth - 1) for _ in range(size)
            )
        if kind in ("seq", "try", "limit") and random.random() < 0.4:
            children = (Node("undo"), *children)
        return Node(kind, random.choice((1.0, 4.0, 9.0)), children)

    def _leaf(self) -> Node:
        kind = self._random.choice(LEAVES)
        children = (self._tree(1),) if kind == "errand" else ()
        return Node(kind, self._seconds(), children)

    def _seconds(self) -> float:
        return self._random.choice((0.0, 0.1, 0.3, 1.0))

    def _numbered(self, trees: list[Node], seen: set[str]) -> list[Node]:
        """Every node with a name of its own; of each kind that waits for a signal, one wait."""
        count = 0
        signals = {
            "agreed": {"agreed"},
            "declined": {"declined", "perhaps"},
            "perhaps": {"declined", "perhaps"},
            "heard": {"heard"},
        }

        def number(node: Node, inside: bool = False) -> Node:
            nonlocal count
            count += 1
            name, kind = count, node.kind
            if kind in signals:
                if kind in seen or inside:
                    kind = "sleep"
                else:
                    seen.update(signals[kind])
            children = tuple(number(child, inside or kind == "errand") for child in node.children)
            return Node(kind, node.seconds, children, name)

        return [number(tree) for tree in trees]


def _nothing_to_undo(tree: Node) -> Node:
    kind = "note" if tree.kind == "undo" else tree.kind
    return tree if kind == "errand" else Node(kind, tree.seconds, tuple(map(_nothing_to_undo, tree.children)))


def nodes(tree: Node) -> Iterator[Node]:
    """All of them, those of errands too."""
    yield tree
    for child in tree.children:
        yield from nodes(child)


def failures(node: Node) -> set[str]:
    """The names of the errors with which it may end, if nobody wants it to end."""
    found = set(FAILURES.get(node.kind, ()))
    if node.kind == "try":
        return found
    inner = set().union(*map(failures, node.children))
    return found | ({"CommandFailed"} if inner else set()) if node.kind == "errand" else found | inner


def accepts(node: Node, value: Any, place: str) -> bool:
    """Whether it may end with this value; `place` is where it is performed: trip, round and attempt."""
    children, kind = node.children, node.kind
    match kind:
        case "gather" | "within" | "seq" | "shield" | "limit" | "try":
            if kind == "try" and isinstance(value, str):
                return value in set().union(*map(failures, children))
            return _each(children, value, place)
        case "race":
            return isinstance(value, list) and len(value) == 2 and accepts(children[value[0]], value[1], place)
        case "each":
            return isinstance(value, list) and _each(children, [found for _, found in sorted(value)], place)
        case "errand":
            return accepts(children[0], value, f"{place}.{node.name}.0.1")
    return _leaf(node, value, f"{place}.{node.name}")


def _each(children: tuple[Node, ...], values: Any, place: str) -> bool:
    if not isinstance(values, list) or len(values) != len(children):
        return False
    return all(accepts(child, value, place) for child, value in zip(children, values, strict=True))


def _leaf(node: Node, value: Any, name: str) -> bool:
    match node.kind:
        case "call" | "patient" | "slow" | "replaced":
            return bool(value == name[::-1])
        case "approval" | "escalated":
            return bool(value == DECIDES)
        case "refused" | "hopeless" | "failing step":
            return False
        case "step" | "async step" | "record":
            return bool(value == name)
        case "agreed" | "declined" | "perhaps" | "heard":
            kind = "declined" if node.kind == "perhaps" else node.kind
            return bool(value == f"{name.split('.')[0]} {kind}")
    return value is None


def answered(node: Node, value: Any, place: str) -> Iterator[str]:
    """The names of the tasks whose answers it holds; the value is one that it accepts."""
    children = node.children
    match node.kind:
        case "call" | "patient" | "slow":
            yield f"{place}.{node.name}"
        case "race":
            yield from answered(children[value[0]], value[1], place)
        case "each":
            for child, found in zip(children, [found for _, found in sorted(value)], strict=True):
                yield from answered(child, found, place)
        case "errand":
            yield from answered(children[0], value, f"{place}.{node.name}.0.1")
        case "gather" | "within" | "seq" | "shield" | "limit" | "try" if isinstance(value, list):
            for child, found in zip(children, value, strict=True):
                yield from answered(child, found, place)
