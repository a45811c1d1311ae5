"""A histogram that is counted in place: an observation costs a bisection, everything else is done at the scrape."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from antiphon.metrics import Histogram, Metric


class Buckets(Histogram):
    """How often which size, for one set of label values.

    A scrape that comes between two additions of one observation is off by that one, and right the next time.
    """

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, amount: float) -> None:
        self.counts[bisect_left(self._bounds, amount)] += 1
        self.sum += amount


class HistogramFamily(Collector):
    """All sets of label values of one histogram, as the registry collects them."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self._uppers = [str(floatToGoString(bound)) for bound in (*metric.buckets, float("inf"))]  # type: ignore[no-untyped-call]
        self._children: dict[tuple[str, ...], Buckets] = {}

    def child(self, values: tuple[str, ...]) -> Buckets:
        """The one of these label values, which is shown from now on."""
        return self._children.setdefault(values, Buckets(self._metric.buckets))

    def remove(self, values: tuple[str, ...]) -> None:
        """Show it no more."""
        self._children.pop(values, None)

    def describe(self) -> Iterable[HistogramMetricFamily]:
        """Its name, so that the registry refuses a second one."""
        return [HistogramMetricFamily(self._metric.name, self._metric.help, labels=self._metric.labels)]

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """The sums up to each bound."""
        (family,) = self.describe()
        for values, child in list(self._children.items()):
            upto = zip(self._uppers, map(float, accumulate(child.counts)), strict=True)
            family.add_metric(values, buckets=list(upto), sum_value=child.sum)
        return [family]
