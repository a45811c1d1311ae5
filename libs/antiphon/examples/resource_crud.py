"""A resource made, changed and deleted by commands: the service's own state is where it lives.

The resource's id is the key: all commands about one book are handled one after another, on whichever replica owns it,
and `ctx.state` holds what was decided. State, answer and position become visible together, once. Every command may be
sent again. With the same id it gets its first answer; sent anew it finds what is so already and says so: making the
same book again and deleting a deleted one are no errors. A change names the version that it was made for, so that of
two people who change the same version one is told to look again.

Here a book is made, changed, and deleted. Run it: python libs/antiphon/examples/resource_crud.py
"""

from __future__ import annotations

import asyncio
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from antiphon import App, Client, Command, CommandFailed, Context, Event, Permanent, State, SubmitOptions
from antiphon.embedded import Embedded
from antiphon.settings import read_settings

app = App("library")


class BookKept(Event, family="books", key="isbn"):
    """The book as it is now; also the answer to whoever made or changed it."""

    isbn: str
    title: str
    version: int


class BookDeleted(Event, family="books", key="isbn"):
    isbn: str


class CreateBook(Command[BookKept], service="library", key="isbn"):
    isbn: str
    title: str


class UpdateBook(Command[BookKept], service="library", key="isbn"):
    isbn: str
    title: str
    version: int


class DeleteBook(Command[BookDeleted], service="library", key="isbn"):
    isbn: str


class Book(State):
    """What is kept of a book; version 0 is one that does not exist (yet, or any more)."""

    title: str = ""
    version: int = 0


@app.command()
def create_book(command: CreateBook, ctx: Context) -> BookKept:
    book = ctx.state(Book)
    if book.version and book.title != command.title:
        raise Permanent(f"{command.isbn} is {book.title!r} already: send UpdateBook to change it")
    book.title, book.version = command.title, book.version or 1
    return BookKept(isbn=command.isbn, title=book.title, version=book.version)


@app.command()
def update_book(command: UpdateBook, ctx: Context) -> BookKept:
    book = ctx.state(Book)
    if not book.version:
        raise Permanent(f"there is no book {command.isbn}: send CreateBook first")
    if book.title != command.title:
        if book.version != command.version:
            raise Permanent(f"{command.isbn} has version {book.version} by now, not {command.version}: look again")
        book.title, book.version = command.title, book.version + 1
    return BookKept(isbn=command.isbn, title=book.title, version=book.version)


@app.command()
def delete_book(command: DeleteBook, ctx: Context) -> BookDeleted:
    book = ctx.state(Book)
    book.title, book.version = "", 0
    return BookDeleted(isbn=command.isbn)


async def told(client: Client, command: Command[Any], options: SubmitOptions) -> None:
    """Ask, and print what came of it."""
    name = type(command).__name__
    try:
        answer = await client.request(command, timeout="20s", options=options)
    except CommandFailed as failure:
        print(f"{name}: {failure}")
    else:
        kept = f"{answer.title!r}, version {answer.version}" if isinstance(answer, BookKept) else "gone"
        print(f"{name}: {kept}")


async def work(platform: Embedded) -> None:
    isbn, once = "978-3", SubmitOptions(command_id=uuid4())
    change = UpdateBook(isbn=isbn, title="Antiphony", version=1)
    async with platform.client() as client:
        await told(client, change, SubmitOptions())
        await told(client, CreateBook(isbn=isbn, title="Antifony"), SubmitOptions())
        await told(client, CreateBook(isbn=isbn, title="Antifony"), SubmitOptions())
        await told(client, change, once)
        await told(client, change, once)
        await told(client, UpdateBook(isbn=isbn, title="Polyphony", version=1), SubmitOptions())
        await told(client, DeleteBook(isbn=isbn), SubmitOptions())
        await told(client, DeleteBook(isbn=isbn), SubmitOptions())
        await told(client, UpdateBook(isbn=isbn, title="Polyphony", version=2), SubmitOptions())


def main() -> None:
    with TemporaryDirectory() as folder:
        settings = read_settings(database_url=f"sqlite:///{folder}/status.sqlite3", partitions=4)
        with Embedded([app], settings) as platform:
            asyncio.run(work(platform))


if __name__ == "__main__":
    main()
