"""The workshop: it holds a piece until a file says to let go, breaks one, and lingers over another."""

from __future__ import annotations

import asyncio
from pathlib import Path

from antiphon import App, Command, Context, Permanent, Reply
from tests.waiting import until


class Held(Reply):
    piece: str


class Hold(Command[Held], service="workshop", key="piece"):
    """Hold a piece until there is a file of this name."""

    piece: str
    release: str


class Break(Command, service="workshop", key="piece"):
    """What cannot succeed."""

    piece: str


class Linger(Command, service="workshop", key="piece"):
    """What never ends by itself."""

    piece: str


app = App("workshop")


@app.command(timeout="40s")
def hold(command: Hold, ctx: Context) -> Held:
    until(Path(command.release).exists, "the piece is released", 30)
    return Held(piece=command.piece)


@app.command()
def break_piece(command: Break, ctx: Context) -> None:
    try:
        int(command.piece)
    except ValueError as error:
        raise Permanent(f"{command.piece} broke") from error


@app.command(timeout="300ms")
async def linger(command: Linger, ctx: Context) -> None:
    await asyncio.Event().wait()
