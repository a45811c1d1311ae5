"""Rates: token buckets on the worker's clock; what is over the rate waits.

A rate is that of the whole service. Each replica fills its buckets by the share of slices that it serves, so that all
of them together keep it, without asking each other.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

from antiphon.handler import Handler
from antiphon.processing.delivery import Delivery
from antiphon.processing.gate import Gate
from antiphon.rate import Rate

MOST = 10_000  # buckets; the full ones are dropped beyond it
Cause = tuple[str, bytes]  # handler, tenant ("" where it does not count)


class Bucket:
    """Tokens of one handler, or of one tenant of it; each attempt takes one."""

    __slots__ = ("_at", "_rate", "_tokens")

    def __init__(self, rate: Rate, since: float) -> None:
        self._rate, self._at = rate, since
        self._tokens = 0.0

    def fill(self, now: float, share: float) -> float:
        """How many tokens there are now, for a replica with this share (0 to 1) of the service."""
        added = max(0.0, now - self._at) * self._rate.per_second * share
        self._at = now
        self._tokens = min(self._tokens + added, self.size(share))
        return self._tokens

    def size(self, share: float) -> float:
        """How many it holds."""
        return max(1.0, self._rate.burst * share)

    def take(self) -> None:
        """An attempt begins."""
        self._tokens -= 1.0

    def next_at(self, now: float, share: float) -> float | None:
        """When there is a token; None if this replica has no share."""
        lacking = 1.0 - self.fill(now, share)
        if lacking <= 0:
            return now
        return now + lacking / (self._rate.per_second * share) if share else None


class Rates(Gate):
    """Every bucket of a replica; `share` says which part of the service's slices it serves (0 to 1).

    A bucket is filled as if it had been there, empty, since the replica began (`since`): a restart gives nobody more.
    """

    name = "rate"
    listens = True

    def __init__(self, handlers: Iterable[Handler], share: Callable[[], float], since: float) -> None:
        self.declared = any(handler.rate is not None for handler in handlers)
        self._share, self._since = share, since
        self._shared = (-1.0, 0.0)  # when the share was asked, and what it was
        self._buckets: dict[Cause, Bucket] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def _part(self, now: float) -> float:
        """The share, asked once in a turn."""
        if self._shared[0] != now:
            self._shared = now, self._share()
        return self._shared[1]

    def cause(self, delivery: Delivery, now: float) -> Hashable | None:
        rate = delivery.handler.rate
        if rate is None:
            return None
        named = _cause(delivery, rate)
        bucket = self._buckets.get(named)
        if bucket is None:
            if len(self._buckets) >= MOST:
                self._drop_full(now)
            bucket = self._buckets[named] = Bucket(rate, self._since)
        # a thousandth of a token is what sums of floats may lack
        return None if bucket.fill(now, self._part(now)) > 0.999 else named

    def _drop_full(self, now: float) -> None:
        share = self._part(now)
        self._buckets = {
            named: bucket for named, bucket in self._buckets.items() if bucket.fill(now, share) < bucket.size(share)
        }

    def reopens(self, cause: Hashable, now: float) -> float | None:
        bucket = self._buckets.get(cause)  # type: ignore[call-overload] # what `cause` above gave out
        return now if bucket is None else bucket.next_at(now, self._part(now))

    def started(self, delivery: Delivery, now: float) -> None:
        rate = delivery.handler.rate
        if rate is not None:
            self._buckets[_cause(delivery, rate)].take()


def _cause(delivery: Delivery, rate: Rate) -> Cause:
    tenant = delivery.envelope.raw("ce_tenantid") if rate.per == "tenant" else None
    return delivery.handler.name, tenant or b""
