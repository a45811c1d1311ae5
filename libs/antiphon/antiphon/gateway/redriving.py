"""Dead letters: found, shown, and sent back to their owners to be redriven or discarded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from antiphon.client import ReturnedLetter
from antiphon.errors import InvalidMessage, MessageError, RecordRefused
from antiphon.gateway.dead_letter_queries import query, state_asked_for
from antiphon.gateway.dead_letter_views import (
    Closing,
    ClosingSummary,
    DeadLetterDetails,
    DeadLetterList,
    LetterChoice,
    RedriveRequest,
    details,
    summary,
)
from antiphon.gateway.edits import as_json, edited, wrong_value
from antiphon.gateway.listing import cursor
from antiphon.gateway.parts import GatewayParts
from antiphon.gateway.problems import Problem, too_large, wrong
from antiphon.gateway.writing import answered, until_shown
from antiphon.lifecycle import DeadLetter
from antiphon.messages import Message, invalid
from antiphon.store import CLOSED, DeadLetterRow, LetterQuery, LetterState, ListPosition

AT_ONCE = 200  # dead letters that are held in memory with their content
Change = Mapping[str, Any]


class Redriving:
    """Reads the store, writes to the log; only the owner of a slice closes a dead letter."""

    def __init__(self, parts: GatewayParts) -> None:
        self._parts = parts
        self._store, self._options = parts.store, parts.options

    # -- reading ---------------------------------------------------------------------------------------------------

    async def page(self, choice: LetterChoice, after: str | None) -> DeadLetterList:
        """The newest dead letters that meet it, or those after its cursor. Raises Problem, StoreUnavailable."""
        asked = query(choice, self._parts, after=after, limit=choice.limit + 1)
        found = await run_in_threadpool(self._store.dead_letters, asked)
        page = found[: choice.limit]
        more = len(found) > choice.limit
        last = ListPosition(page[-1].given_up_at, page[-1].letter_id) if more else None
        return DeadLetterList(dead_letters=list(map(summary, page)), next_cursor=last and cursor(last))

    async def show(self, letter_id: str) -> DeadLetterDetails:
        """All that is known of one. Raises Problem for an id without a dead letter."""
        row = await self._row(letter_id)
        try:
            payload: Message | str = self._payload(row.letter)
        except MessageError as error:
            payload = str(error)
        return details(row, payload)

    async def _row(self, letter_id: str) -> DeadLetterRow:
        row = (await run_in_threadpool(self._store.whole_letters, [letter_id])).get(letter_id)
        if row is None:
            raise Problem(
                404,
                "unknown-dead-letter",
                f"There is no dead letter {letter_id:.64}.",
                next="GET /dead-letters lists them with their ids.",
            )
        return row

    def _payload(self, letter: DeadLetter) -> Message:
        kind = self._kind(letter)
        content_type = next((h.value for h in letter.record_headers if h.name == "content-type"), None)
        return self._parts.codec.decode(letter.record_value, content_type, kind)

    def _kind(self, letter: DeadLetter) -> type[Message]:
        kind = self._parts.catalogue.types.get(letter.message_type or "")
        if kind is None:
            raise MessageError(f"the class of {letter.message_type or 'a record without ce_type'} is not known here")
        return kind

    # -- one -------------------------------------------------------------------------------------------------------

    async def redrive(self, letter_id: str, request: RedriveRequest) -> Closing:
        """Send it back to be tried again. Raises Problem, StoreUnavailable."""
        row = await self._open_row(letter_id)
        back = self._redriven(row, request.parameters, request.set)
        return await self._close(row, back, "redriving", dry_run=request.dry_run)

    async def discard(self, letter_id: str) -> Closing:
        """Send it back to be closed. Raises Problem, StoreUnavailable."""
        row = await self._open_row(letter_id)
        return await self._close(row, ReturnedLetter(row.letter, discard=True), "discarding", dry_run=False)

    async def _open_row(self, letter_id: str) -> DeadLetterRow:
        row = await self._row(letter_id)
        if row.state in CLOSED:
            raise Problem(
                409,
                "closed",
                f"Dead letter {letter_id} has been {row.state} already.",
                next="If it was given up again, there is a dead letter of the next generation.",
            )
        return row

    async def _close(self, row: DeadLetterRow, back: ReturnedLetter, state: LetterState, *, dry_run: bool) -> Closing:
        if dry_run:
            return Closing(letter_id=row.letter_id, state=row.state)
        await self._send([back])
        await until_shown(lambda: self._shows(row.letter_id, state), self._options.shown_within)
        return Closing(letter_id=row.letter_id, state=state)

    async def _shows(self, letter_id: str, state: LetterState) -> bool:
        seen = await run_in_threadpool(self._store.dead_letters, LetterQuery(ids=[letter_id]))
        return any(found.state == state or found.state in CLOSED for found in seen)

    def _redriven(self, row: DeadLetterRow, parameters: Change | None, fields: Change) -> ReturnedLetter:
        letter = row.letter
        if parameters is None and not fields:
            if letter.record_value is None:
                said = "the dead letter holds no content; it lies where the letter says, if it is still there"
                raise wrong({"parameters": said})
            return ReturnedLetter(letter)
        try:
            kind = self._kind(letter)
            content = as_json(self._payload(letter)) if parameters is None else dict(parameters)
            message = kind.model_validate_json(edited(content, fields))
        except ValidationError as error:
            raise wrong(_named(invalid(kind, error), fields, parameters)) from None
        except MessageError as error:
            said = f"{row.letter_id} cannot be changed: {error}"
            raise wrong({"parameters" if parameters is not None else "set": said}) from None
        size = len(message.model_dump_json().encode())
        if size > self._options.message_limit:
            raise too_large(
                f"The edited content has {size:,} bytes; at most {self._options.message_limit:,} are taken."
            )
        return ReturnedLetter(letter, edited=message)

    # -- many ------------------------------------------------------------------------------------------------------

    async def redrive_many(self, choice: LetterChoice, fields: Change) -> ClosingSummary:
        """Send back all that meet it. Raises Problem (422 before the first is sent), StoreUnavailable."""
        return await self._close_many(choice, fields, discard=False)

    async def discard_many(self, choice: LetterChoice) -> ClosingSummary:
        """The same, to be closed."""
        return await self._close_many(choice, {}, discard=True)

    async def _close_many(self, choice: LetterChoice, fields: Change, *, discard: bool) -> ClosingSummary:
        ids, more = await self._chosen(choice)
        skipped: list[str] = []
        if fields:  # all are checked before the first is sent
            for some in _chunks(ids):
                await self._many(some, fields, discard=discard)
        count = 0
        for some in _chunks(ids):
            letters, left = await self._many(some, fields, discard=discard)
            if not choice.dry_run:
                await self._send(letters, before=count)
            count += len(letters)
            skipped += left
        return ClosingSummary(count=count, skipped=skipped, more=more, dry_run=choice.dry_run)

    async def _chosen(self, choice: LetterChoice) -> tuple[list[str], bool]:
        if choice.ids is not None:
            return list(dict.fromkeys(choice.ids)), False
        asked = query(choice, self._parts, limit=choice.limit + 1, oldest_first=True, state=state_asked_for(choice))
        found = await run_in_threadpool(self._store.dead_letters, asked)
        return [row.letter_id for row in found[: choice.limit]], len(found) > choice.limit

    async def _many(
        self, ids: Sequence[str], fields: Change, *, discard: bool
    ) -> tuple[list[ReturnedLetter], list[str]]:
        """The letters to be sent back, and the ids of those that cannot be."""
        rows = await run_in_threadpool(self._store.whole_letters, ids)
        letters, skipped = [], []
        for letter_id in ids:
            row = rows.get(letter_id)
            if row is None or row.state in CLOSED or (row.letter.record_value is None and not discard):
                skipped.append(letter_id)
            else:
                letters.append(
                    ReturnedLetter(row.letter, discard=True) if discard else self._redriven(row, None, fields)
                )
        return letters, skipped

    async def _send(self, letters: Sequence[ReturnedLetter], before: int = 0) -> None:
        sent = f" after {before} dead letters" if before else ""
        again = "Send the same request again: what was sent twice is redriven once."
        async with answered(self._options.produce_timeout, after=sent, again=again):
            try:
                await self._parts.client.send_back(letters)
            except InvalidMessage as error:
                raise wrong(error.fields) from None
            except RecordRefused as error:
                raise too_large(str(error)) from None


def _named(error: InvalidMessage, fields: Change, parameters: Change | None) -> dict[str, str]:
    """The wrong fields by their place in the request."""
    return {
        wrong_value(path, fields) if parameters is None else f"parameters.{path}": problem
        for path, problem in error.fields.items()
    }


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[at : at + AT_ONCE] for at in range(0, len(ids), AT_ONCE))
