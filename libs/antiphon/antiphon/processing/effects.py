"""Effects outside of Kafka: `ctx.once` keeps what came of each as an entry of the message until that is settled."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from antiphon.errors import MessageTooLarge, Permanent, Retryable
from antiphon.executor import Promise
from antiphon.processing.delivery import Delivery
from antiphon.processing.ledger import entry
from antiphon.processing.slice import Phase, Slice
from antiphon.processing.telling import Telling

EFFECT = b"effect/"


class Effects:
    """Runs each effect of a message once, but for a crash between the effect and the commit of its entry."""

    def __init__(self, telling: Telling, promise: Callable[[], Promise], message_bytes: int) -> None:
        self._telling = telling
        self._promise = promise
        self._limit = message_bytes

    async def once(self, delivery: Delivery, name: str, fn: Callable[[str], Awaitable[Any] | Any]) -> Any:
        """What `fn` returned, now or at an earlier attempt; when this returns, that is in the log."""
        slice_, key = delivery.slice, _key(delivery, name)
        kept = slice_.entries.get(key)
        if kept is None:
            result = fn(f"{delivery.envelope.id}/{name}")
            kept = self._written(name, await result if isawaitable(result) else result)
            await self._keep(delivery, key, kept)
        return json.loads(kept)

    def _written(self, name: str, result: object) -> bytes:
        try:
            value = json.dumps(result).encode()
        except (TypeError, ValueError) as error:
            raise Permanent(f"what came of {name!r} is {result!r:.80}, which is no JSON: {error}") from error
        if len(value) > self._limit:
            raise MessageTooLarge(f"what came of {name!r}", len(value), self._limit)
        return value

    def _keep(self, delivery: Delivery, key: bytes, value: bytes) -> Promise:
        slice_ = delivery.slice
        kept = self._promise()
        if slice_.phase is not Phase.SERVING:
            kept.set_exception(Retryable("the slice has another owner"))
            return kept
        slice_.keep(key, value)
        slice_.effects.setdefault(entry(delivery.envelope.id), set()).add(key)
        self._telling.batch.touch(slice_, delivery.started)
        self._telling.batch.told.append(lambda committed: _tell(kept, committed))
        return kept


def _tell(kept: Promise, committed: bool) -> None:
    if kept.done():
        return  # the handler waits no longer
    if committed:
        kept.set_result(None)
    else:
        kept.set_exception(Retryable("the slice is restored from the log"))


def _key(delivery: Delivery, name: str) -> bytes:
    return b"/".join((EFFECT + delivery.envelope.id.encode(), delivery.handler.name.encode(), name.encode()))


def forget_effects(delivery: Delivery) -> None:
    """It is settled: its entries go, but those of handlers that left a dead letter, which may be redriven."""
    slice_, id_ = delivery.slice, entry(delivery.envelope.id)
    stay = {key for key in slice_.effects.pop(id_, ()) if not _forgotten(key, delivery, slice_)}
    if stay:
        slice_.effects[id_] = stay


def forget_discarded(slice_: Slice, message_id: str, handler: str) -> None:
    """The dead letter of this handler (empty: of none, so of all) is never redriven: its entries go."""
    keys = slice_.effects.get(entry(message_id), set())
    for key in [key for key in keys if handler in ("", _handler(key))]:
        slice_.keep(key, None)
        keys.discard(key)
    if not keys:
        slice_.effects.pop(entry(message_id), None)


def _handler(key: bytes) -> str:
    return key.split(b"/", 3)[2].decode()


def _forgotten(key: bytes, delivery: Delivery, slice_: Slice) -> bool:
    handler = _handler(key)
    mine = any(handler == known.name for known in delivery.route.handlers)
    if not mine or handler in delivery.given_up:
        return False
    slice_.keep(key, None)
    return True


def awaken_effects(slice_: Slice) -> None:
    """Find what earlier owners have kept."""
    for key in slice_.entries:
        if key.startswith(EFFECT):
            id_ = entry(key.split(b"/", 3)[1].decode())
            slice_.effects.setdefault(id_, set()).add(key)
