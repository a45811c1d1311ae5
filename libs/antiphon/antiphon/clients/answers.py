"""The requests that wait for an answer, by the token that the answer carries."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from antiphon.broker import Record
from antiphon.codec import Announcement, Codec
from antiphon.envelope import Envelope
from antiphon.errors import AntiphonError, CommandFailed, UnknownSchema
from antiphon.lifecycle import Done, Refused
from antiphon.messages import Answer, Command


class _Request(NamedTuple):
    kind: type[Command[Any]]
    answer: asyncio.Future[Answer | None]


class Answers:
    """Gives each answer to the request with its token; every other record on the partition is somebody else's.

    An answer in a schema that is unknown waits for the schema to be announced. Used on one event loop only.
    """

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._requests: dict[bytes, _Request] = {}
        self._unread: dict[bytes, Record] = {}

    def expect(self, token: bytes, kind: type[Command[Any]]) -> asyncio.Future[Answer | None]:
        """What the answer with this token will fulfil; call `forget` whatever becomes of it."""
        request = _Request(kind, asyncio.get_running_loop().create_future())
        self._requests[token] = request
        return request.answer

    def forget(self, token: bytes) -> None:
        """Nobody waits for this token any more: a late answer is dropped."""
        self._requests.pop(token, None)
        self._unread.pop(token, None)

    @property
    def waiting(self) -> int:
        """How many requests are under way."""
        return len(self._requests)

    def unread(self, token: bytes) -> bool:
        """Whether the answer is there, in a schema that nobody has announced yet."""
        return token in self._unread

    def take(self, record: Record) -> None:
        """A record of the partition of replies."""
        envelope = Envelope(record)
        token = envelope.raw("ce_replytoken")
        request = None if token is None else self._requests.get(token)
        if token is None or request is None or request.answer.done():
            return
        try:
            answer = self._read(envelope, request.kind)
        except UnknownSchema:
            self._unread[token] = record
        except AntiphonError as error:
            request.answer.set_exception(error)
        else:
            request.answer.set_result(answer)

    def learn(self, record: Record) -> None:
        """A record of the topic of schemas: answers that waited for it are read."""
        if record.key is None or record.value is None or not self._codec.learn(Announcement(record.key, record.value)):
            return
        waiting, self._unread = self._unread, {}
        for unread in waiting.values():
            self.take(unread)

    def cancel(self) -> None:
        """Every request that waits fails with the code `cancelled`."""
        for request in self._requests.values():
            if not request.answer.done():
                request.answer.set_exception(CommandFailed("cancelled", "the client was closed before an answer came"))

    def _read(self, envelope: Envelope, kind: type[Command[Any]]) -> Answer | None:
        value, content_type = envelope.record.value, envelope.content_type
        declared = kind.reply_type()
        if declared is not None and envelope.type == declared.type_name():
            return self._codec.decode(value, content_type, declared)
        if declared is None and envelope.type == Done.type_name():
            return None
        if envelope.type == Refused.type_name():
            failure = self._codec.decode(value, content_type, Refused).failure
            raise CommandFailed(
                failure.code,
                failure.message,
                error_class=failure.error_class,
                retryable=failure.retryable,
                causes=[(cause.error_class, cause.message) for cause in failure.causes],
            )
        expected = "nothing" if declared is None else declared.type_name()
        raise CommandFailed(
            "unexpected-answer", f"{kind.__name__} is answered with {expected}, but {envelope.type} came"
        )
