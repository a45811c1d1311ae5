"""Turns of a run for people: what came, what it answered, and what followed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from antiphon.catalogue import Catalogue
from antiphon.codec import Codec
from antiphon.envelope import rfc3339
from antiphon.errors import AntiphonError, HistoryUnreadable, MessageError
from antiphon.gateway.edits import as_json
from antiphon.gateway.known_messages import message_class
from antiphon.gateway.workflow_views import DecisionView, TurnInput, TurnView, end_view, failure_view
from antiphon.messages import Command, Event, Message
from antiphon.store import TurnRow
from antiphon.workflow.history import Decision, DecisionKind, TurnRecord, read
from antiphon.workflow.instance import Identity
from antiphon.workflow.summary import command_id, summarized
from antiphon.workflow.turns import Failure, Input, InputKind

_LEAVING = (DecisionKind.CALL, DecisionKind.SEND, DecisionKind.PUBLISH)


class TurnTeller:
    """Reads contents by the classes of the catalogue; one that it cannot read it says so of."""

    def __init__(self, catalogue: Catalogue, codec: Codec) -> None:
        self._catalogue, self._codec = catalogue, codec

    def tell(self, workflow: str, before: Sequence[TurnRow], turns: Sequence[TurnRow]) -> list[TurnView]:
        """These turns; `before` are the earlier ones of the first one's run, `workflow` the command that began it."""
        asked: dict[tuple[int, int], Decision] = {}
        found = []
        for row in before:
            _note(asked, row, read(row.record))
        for row in turns:
            try:
                record = read(row.record)
            except HistoryUnreadable as error:
                found.append(_unreadable(row, error))
                continue
            _note(asked, row, record)
            found.append(self._view(workflow, row, record, asked.get((row.run, record.input.number))))
        return found

    def _view(self, workflow: str, row: TurnRow, record: TurnRecord, answered: Decision | None) -> TurnView:
        identity = Identity(row.instance_id, row.run)
        return TurnView(
            run=row.run,
            turn=row.turn,
            at=rfc3339(record.input.at),
            input=self._input(workflow, record.input, answered),
            decisions=[_decision(identity, decided) for decided in record.decided()],
            waiting=record.waiting_count,
            end=end_view(summarized(None, identity, record).end),
        )

    def _input(self, workflow: str, told: Input, answered: Decision | None) -> TurnInput:
        answers = told.kind in (InputKind.REPLY, InputKind.FAILURE, InputKind.TIMER)
        try:
            payload, unreadable = self._content(workflow, told, answered), None
        except (AntiphonError, ValueError, TypeError) as error:
            payload, unreadable = None, str(error)
        return TurnInput(
            kind=told.kind.name.lower(),  # type: ignore[arg-type] # the names of the kinds
            name=told.name,
            answers=told.number if answers else None,
            answered=str(answered).partition(" #")[0] if answers and answered else None,
            payload=payload,
            unreadable=unreadable,
        )

    def _content(self, workflow: str, told: Input, answered: Decision | None) -> Any:
        if told.kind is InputKind.FAILURE:
            return failure_view(Failure.from_json(told.payload)).model_dump()
        if told.kind is InputKind.START:
            return self._message(told.payload, self._catalogue.command(workflow))
        if told.kind is InputKind.SIGNAL:
            return self._message(told.payload, message_class(self._catalogue, told.name, Event))
        if told.kind is not InputKind.REPLY or not told.payload:
            return None
        if answered is None:
            raise MessageError("what it answers was not seen")
        if answered.kind is not DecisionKind.CALL:
            return json.loads(told.payload)
        called: type[Command[Any]] = message_class(self._catalogue, answered.name, Command)
        declared = called.reply_type()
        return None if declared is None else self._message(told.payload, declared)

    def _message(self, payload: bytes, kind: type[Message]) -> Any:
        return as_json(self._codec.decode(payload, None, kind))


def _note(asked: dict[tuple[int, int], Decision], row: TurnRow, record: TurnRecord) -> None:
    asked.update({(row.run, decided.number): decided for decided in record.decided()})


def _decision(identity: Identity, decided: Decision) -> DecisionView:
    id_ = command_id(identity, decided.number) if decided.kind in _LEAVING else None
    return DecisionView(number=decided.number, kind=decided.kind.name.lower(), name=decided.name, id=id_)


def _unreadable(row: TurnRow, error: HistoryUnreadable) -> TurnView:
    told = TurnInput(kind="unknown", name="", answers=None, answered=None, payload=None, unreadable=str(error))
    return TurnView(run=row.run, turn=row.turn, at=None, input=told, decisions=[], waiting=0, end=None)
