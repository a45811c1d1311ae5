"""How runs end: their history leaves the state, and whoever waits learns what became of them; or a next run begins."""

from __future__ import annotations

import json
from struct import Struct

from antiphon.broker import Headers, Outgoing
from antiphon.envelope import SPECVERSION, derived_id
from antiphon.errors import CommandFailed
from antiphon.instances import INSTANCE, JOINED, PARKED_INSTANCE, PART, RUN, TYPE
from antiphon.lifecycle import Done
from antiphon.messages import Event, Message
from antiphon.processing.settlement import Settlement
from antiphon.processing.telling import End
from antiphon.workflow import pending, turns
from antiphon.workflow.history import read
from antiphon.workflow.requests import Requests
from antiphon.workflow.run import Run
from antiphon.workflow.turns import Ending, Failure, Outcome

PART_BYTES = 900_000  # of one record on `histories`
_LENGTH = Struct("<I")
_STATUS = {
    Ending.COMPLETED: "completed",
    Ending.FAILED: "failed",
    Ending.CANCELLED: "cancelled",
    Ending.TIMED_OUT: "timed_out",
}


class Ends:
    """Puts ends into the batch that is being filled."""

    def __init__(self, settlement: Settlement, requests: Requests, service: str) -> None:
        self._settlement, self._requests = settlement, requests
        self._telling = settlement.telling
        self._histories = self._telling.names.histories
        self._service = service.encode()

    def of_turn(self, run: Run, outcome: Outcome, last: bytes, ending: bytes | None, now: float) -> None:
        """A run has ended with this turn, whose record is not in the state."""
        start = run.start if run.turns > 1 else read(last).input
        self._leave_history(run, last)
        if outcome.ending is Ending.AGAIN or outcome.ending is Ending.CONTINUED:
            self._begin_next(run, outcome, start, ending, now)
        else:
            self.finish(run, outcome, start, now, ending)

    def _begin_next(self, run: Run, outcome: Outcome, start: turns.Input, ending: bytes | None, now: float) -> None:
        begin = start._replace(number=start.number + 1)
        if outcome.command is not None:
            begin = start._replace(number=1, payload=ending or b"")
        left = pending.lasting(pending.clear(run))
        run.begin_next()
        pending.put(run, begin, now + outcome.after)
        for name, payload in outcome.signals:
            pending.put(run, turns.signal(now, name, payload))
        for told in left:
            pending.put(run, told)

    def finish(self, run: Run, outcome: Outcome, start: turns.Input, now: float, answer: bytes | None = None) -> None:
        """The instance has ended; `answer` is its value as bytes, if it has one."""
        slice_ = run.slice
        pending.clear(run)
        run.begun_by(start)
        command = run.command
        if run.parked:
            slice_.keep(PARKED_INSTANCE + run.id.encode(), None)
        status = _STATUS[outcome.ending]
        value = outcome.value
        if isinstance(value, Event):
            message_id = derived_id(run.id, str(run.number), "answer")
            self._telling.batch.outputs.append(self._requests.published(run, value, message_id, now))
        slice_.ledger.add(run.key)
        slice_.instances.pop(run.key, None)
        end = End(
            status,
            None if outcome.failure is None else _error(outcome),
            run.definition.name if run.definition is not None else "",
            start.number,
            command.record.timestamp / 1000,
            None if value is None else value.model_dump_json(),
            self._answer(value, answer) if command.raw("ce_replyto") is not None else None,
            0,
            self._joined(run),
        )
        self._telling.ended(slice_, command, end, now)
        name = run.definition.command_name if run.definition is not None else ""
        self._settlement.processed[name] += 1
        self._telling.count("workflows_ended", name, status)
        self._telling.observe(now - command.record.timestamp / 1000, "workflow_duration", name, status)

    def _answer(self, value: Message | None, encoded: bytes | None) -> tuple[type[Message], bytes]:
        if value is None or encoded is None:
            return Done, self._requests.encoded(Done())
        return type(value), encoded

    @staticmethod
    def _joined(run: Run) -> tuple[Headers, ...]:
        key = JOINED + run.id.encode()
        value = run.slice.entries.get(key)
        if value is None:
            return ()
        run.slice.keep(key, None)
        return read_joined(value)

    def _leave_history(self, run: Run, last: bytes) -> None:
        """Its turns go from the state to `histories`, this one being the last."""
        self.leave(run, [*(run.slice.entries[run.place(turn)] for turn in range(1, run.turns)), last])

    def leave(self, run: Run, records: list[bytes]) -> None:
        """The same with these."""
        slice_ = run.slice
        for turn in range(1, len(records) + 1):
            if (key := run.place(turn)) in slice_.entries:
                slice_.keep(key, None)
        parts = _parts(records)
        for number, part in enumerate(parts, 1):
            headers: Headers = [
                SPECVERSION,
                ("ce_type", TYPE),
                (INSTANCE, run.id.encode()),
                (RUN, str(run.number).encode()),
                (PART, f"{number}/{len(parts)}".encode()),
                ("ce_service", self._service),
            ]
            self._telling.batch.outputs.append(Outgoing(self._histories, slice_.number, run.id.encode(), part, headers))


def _parts(records: list[bytes]) -> list[bytes]:
    """Each record behind its length, together as long as one record on `histories` may be."""
    found: list[list[bytes]] = [[]]
    size = 0
    for record in records:
        if size and size + len(record) > PART_BYTES:
            found.append([])
            size = 0
        found[-1] += [_LENGTH.pack(len(record)), record]
        size += len(record) + _LENGTH.size
    return [b"".join(part) for part in found]


def _error(outcome: Outcome) -> CommandFailed:
    failure: Failure | None = outcome.failure
    assert failure is not None
    return CommandFailed(
        failure.code,
        failure.message,
        error_class=failure.error_class,
        retryable=failure.retryable,
        causes=failure.causes,
    )


def write_joined(joined: tuple[Headers, ...]) -> bytes:
    """Reply headers of duplicates, as JSON."""
    return json.dumps([[[name, value.decode("latin-1")] for name, value in headers] for headers in joined]).encode()


def read_joined(value: bytes) -> tuple[Headers, ...]:
    """What `write_joined` wrote."""
    return tuple([(name, text.encode("latin-1")) for name, text in headers] for headers in json.loads(value))
