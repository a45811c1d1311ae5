"""Random workflow programs: trees of steps, and their run as a workflow."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from hypothesis import strategies as st

from antiphon import CommandFailed, WorkflowContext, WorkflowTimeout
from tests.workflow.messages import AssessVehicle, BookVisit, CancelVisit, CustomerAgreed, CustomerDeclined, NoteVisit

LEAVES = [
    "call",
    "call",
    "call",
    "fails",
    "sleep",
    "sleep",
    "step",
    "record",
    "never",
    "undo",
    "undo",
    "agreed",
    "declined",
]
INNER = ["seq", "gather", "gather", "race", "race", "limit", "try", "shield", "each"]
UNIT = 1000  # seconds
SIGNALS: dict[str, type[CustomerAgreed] | type[CustomerDeclined]] = {
    "agreed": CustomerAgreed,
    "declined": CustomerDeclined,
}


@dataclass(frozen=True)
class Node:
    """A step; `delay` (seconds) is how long a leaf takes, or a `limit` allows; `name` tells it from all others."""

    kind: str
    delay: int
    children: tuple[Node, ...] = ()
    name: int = 0


def _tree(chance: Random, depth: int) -> Node:
    """A tree of at most this depth; the nearer to the root, the more it branches."""
    if depth == 0 or chance.random() < 0.15:
        return Node(chance.choice(LEAVES), chance.randint(1, 50))
    return _inner(chance, depth, chance.randint(1, 3))


def _inner(chance: Random, depth: int, size: int) -> Node:
    kind = chance.choice(INNER)
    if kind == "each":  # what is left of it when its loop ends runs beside the rest, so it is kept simple
        children = tuple(Node(chance.choice(["call", "sleep"]), chance.randint(1, 50)) for _ in range(size))
    else:
        children = tuple(_tree(chance, depth - 1) for _ in range(size))
    if kind in ("seq", "try", "limit") and chance.random() < 0.4:
        children = (Node("undo", 1), *children)
    if kind == "race":  # two that end at once are a tie
        slowed = Node("sleep", chance.randint(1, 50))
        children = tuple(Node("seq", 1, (child, slowed)) if _instant(child) else child for child in children)
    return Node(kind, chance.randint(1, 120), children)


def _instant(node: Node) -> bool:
    if node.kind in ("record", "undo", "step"):
        return True
    return bool(node.children) and all(map(_instant, node.children))


def program_of(seed: int) -> Node:
    """The program of a seed; the same one each time."""
    chance = Random(seed)
    return _numbered(_inner(chance, chance.randint(2, 4), chance.randint(1, 4)))


def plain(program: Node) -> Node:
    """It without compensations and signals."""
    kind = "sleep" if program.kind in ("undo", *SIGNALS) else program.kind
    return Node(kind, program.delay, tuple(map(plain, program.children)), program.name)


def _numbered(tree: Node) -> Node:
    """Every node with a name of its own, which is in its delay too; of each signal, one wait."""
    count, seen = 0, set()

    def number(node: Node) -> Node:
        nonlocal count
        count += 1
        name, kind = count, node.kind
        if kind in SIGNALS and kind in seen:
            kind = "sleep"
        seen.add(kind)
        return Node(kind, node.delay * UNIT + name * name, tuple(map(number, node.children)), name)

    return number(tree)


programs = st.integers(0, 2**32).map(program_of)


def nodes(program: Node) -> list[Node]:
    """All of them."""
    return [program, *(found for child in program.children for found in nodes(child))]


async def perform(node: Node, ctx: WorkflowContext) -> Any:
    """Run it."""
    each = [perform(child, ctx) for child in node.children] if node.kind in ("gather", "race", "each") else []
    match node.kind:
        case "gather":
            return list(await ctx.gather(*each))
        case "race":
            return list(await ctx.race(*each))
        case "each":
            return [[place, value] async for place, value in ctx.as_completed(*each)]
        case "seq":
            return [await perform(child, ctx) for child in node.children]
        case "shield":
            return [await ctx.shield(perform(child, ctx)) for child in node.children]
        case "limit":
            async with ctx.timeout(f"{node.delay}s"):
                return [await perform(child, ctx) for child in node.children]
        case "try":
            return await _tried(node, ctx)
    return await _leaf(node, ctx)


async def _leaf(node: Node, ctx: WorkflowContext) -> Any:
    name, vehicle = node.name, f"{node.name}/{node.delay}"
    match node.kind:
        case "call":
            return (await ctx.call(BookVisit(vehicle_id=vehicle))).centre
        case "fails":
            await ctx.call(AssessVehicle(vehicle_id=vehicle))
        case "never":
            await ctx.call(NoteVisit(vehicle_id=vehicle))
        case "sleep":
            await ctx.sleep(f"{node.delay}s")
        case "step":
            return await ctx.run(f"step {name}", lambda: name)
        case "record":
            return ctx.record(lambda: name)
        case "undo":
            ctx.compensate(CancelVisit(vehicle_id=str(name)))
        case _:
            said: CustomerAgreed | CustomerDeclined = await ctx.signal(SIGNALS[node.kind])
            return said.customer
    return None


async def _tried(node: Node, ctx: WorkflowContext) -> Any:
    try:
        return [await perform(child, ctx) for child in node.children]
    except CommandFailed:
        return "failed"
    except WorkflowTimeout:
        return "over"
