"""Metrics as Prometheus has them."""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable, Iterable
from importlib.metadata import version
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client import Counter as PrometheusCounter
from prometheus_client import Gauge as PrometheusGauge
from prometheus_client.registry import Collector

from antiphon.metrics import BY_NAME, Counter, Gauge, Histogram, Kind, Metric, Metrics
from antiphon.telemetry.buckets import Buckets, HistogramFamily

Family = PrometheusCounter | PrometheusGauge | HistogramFamily
Child = PrometheusCounter | PrometheusGauge | Buckets


class _Looks(Collector):
    """Shows nothing itself: asked first at each scrape, it has others bring their gauges up to date."""

    def __init__(self) -> None:
        self.looks: list[Callable[[], None]] = []

    def describe(self) -> Iterable[Any]:
        """Nothing, so that being registered is no reason to look."""
        return ()

    def collect(self) -> Iterable[Any]:
        """Look, and show nothing."""
        for look in self.looks:
            look()
        return ()


class PrometheusMetrics(Metrics):
    """The metrics of the table in a registry of its own.

    A metric is shown from its first use on: a gateway has no worker's gauges that would stand at zero.
    """

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._looks = _Looks()
        self.registry.register(self._looks)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self._making = threading.Lock()
        self._families: dict[str, Family] = {}
        self._children: dict[tuple[str, tuple[str, ...]], Child] = {}
        self.gauge("antiphon_build_info", version=version("antiphon"), python=platform.python_version()).set(1)

    def at_scrape(self, look: Callable[[], None]) -> None:
        """Call this whenever somebody asks for the metrics, before they are shown; it does not wait for anything."""
        self._looks.looks.append(look)

    def _family(self, metric: Metric) -> Family:
        if metric.kind == "counter":
            return PrometheusCounter(metric.name, metric.help, metric.labels, registry=self.registry)
        if metric.kind == "gauge":
            return PrometheusGauge(metric.name, metric.help, metric.labels, registry=self.registry)
        family = HistogramFamily(metric)
        self.registry.register(family)
        return family

    def _child(self, kind: Kind, name: str, labels: dict[str, str]) -> Any:
        metric = BY_NAME[name]
        values = metric.values(kind, labels)
        child = self._children.get((name, values))
        return child if child is not None else self._new_child(metric, values)

    def _new_child(self, metric: Metric, values: tuple[str, ...]) -> Child:
        with self._making:
            family = self._families.get(metric.name)
            if family is None:
                family = self._families[metric.name] = self._family(metric)
            child = self._children[metric.name, values] = _child_of(family, values)
        return child

    def counter(self, name: str, **labels: str) -> Counter:
        found: Counter = self._child("counter", name, labels)
        return found

    def gauge(self, name: str, **labels: str) -> Gauge:
        found: Gauge = self._child("gauge", name, labels)
        return found

    def histogram(self, name: str, **labels: str) -> Histogram:
        found: Histogram = self._child("histogram", name, labels)
        return found

    def remove(self, name: str, **labels: str) -> None:
        values = BY_NAME[name].values(BY_NAME[name].kind, labels)
        with self._making:
            if self._children.pop((name, values), None) is None:
                return
            family = self._families[name]
            if isinstance(family, HistogramFamily):
                family.remove(values)
            elif values:
                family.remove(*values)
            else:
                self.registry.unregister(self._families.pop(name))


def _child_of(family: Family, values: tuple[str, ...]) -> Child:
    if isinstance(family, HistogramFamily):
        return family.child(values)
    return family.labels(*values) if values else family
