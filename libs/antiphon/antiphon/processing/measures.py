"""Metrics of a worker: counted as numbers in the loop, given to the metrics once in a while."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Self

from antiphon.app import App
from antiphon.declarations import Load
from antiphon.metrics import BREAKER_STATES, GATES, OTHERS, Histogram, Metrics
from antiphon.processing.batch import Commit, Outcome
from antiphon.processing.breakers import Breakers
from antiphon.processing.following import FollowedControl
from antiphon.processing.gate_queues import GateQueues
from antiphon.processing.ownership import Slices
from antiphon.processing.pausing import Pausing
from antiphon.processing.settlement import Settlement
from antiphon.processing.slice import Phase

INTERVAL = 0.5  # seconds between two reports
PROCESSORS_SHOWN = 50  # declared ones that are told apart

LABELS = {
    "messages_consumed": ("topic", "message_type", "outcome"),
    "duplicates_skipped": ("topic",),
    "messages_forwarded": ("topic",),
    "messages_overtook": ("topic",),
    "deserialization_failures": ("topic", "reason"),
    "handler_retries": ("handler",),
    "handler_timeouts": ("handler",),
    "dead_letters": ("topic", "reason"),
    "dead_letters_closed": ("outcome",),
    "positions_lost": ("topic",),
    "held_back": ("gate",),
    "workflows_started": ("workflow",),
    "workflow_turns": ("workflow",),
    "workflow_inputs_late": ("kind",),
    "workflows_ended": ("workflow", "outcome"),
    "workflows_parked": ("reason",),
    "workflow_duration": ("workflow", "outcome"),
    "timer_delay": ("kind",),
}


@dataclass(frozen=True, slots=True)
class Measured:
    """Whose metrics they are: the service with its handlers, how many records it may have in flight, and who says how
    busy declared processors are."""

    service: str
    handlers: tuple[str, ...]
    in_flight: int
    loads: Callable[[], Mapping[str, Load]]

    @classmethod
    def of(cls, app: App, in_flight: int) -> Self:
        """Of this app."""
        handlers = {handler.name for handler in (*app.commands, *app.events) if not handler.hosted}
        return cls(app.service, tuple(sorted(handlers)), in_flight, lambda: app.controls.loads())


class Measures:
    """Turns what the loop has counted into metrics."""

    def __init__(self, metrics: Metrics, measured: Measured) -> None:
        self._metrics, self._measured = metrics, measured
        self._service = measured.service
        self._done: dict[str, int] = {}  # by declared processor
        self._processors: set[str] = set()  # as they are shown
        self._next = 0.0
        metrics.gauge("antiphon_in_flight_limit", service=self._service).set(measured.in_flight)
        self._shown: set[str] = set()  # dependencies
        self._told = (-1, Counter(dict.fromkeys(GATES, -1)), 0)  # targets paused, waiting by gate, controls refused

    def commit_ended(self, commit: Commit) -> None:
        """A commit has an outcome."""
        assert commit.outcome is not None
        metrics = self._metrics
        metrics.counter("antiphon_transactions_total", outcome=commit.outcome.value).inc(1)
        metrics.histogram("antiphon_transaction_duration_seconds").observe(commit.seconds)
        if commit.outcome is Outcome.COMMITTED:
            metrics.histogram("antiphon_batch_records").observe(len(commit.inputs))
        for topic, amount in Counter(map(itemgetter(0), commit.outputs)).items():
            metrics.counter("antiphon_messages_produced_total", topic=topic, outcome=commit.outcome.value).inc(amount)

    def rebalanced(self, kind: str) -> None:
        """Slices were assigned, revoked or lost."""
        self._metrics.counter("antiphon_consumer_rebalances_total", kind=kind).inc(1)

    def restored(self, seconds: float) -> None:
        """A slice knows its state."""
        self._metrics.histogram("antiphon_slice_restore_seconds").observe(seconds)

    def report(self, now: float, settlement: Settlement, slices: Slices) -> None:
        """Bring the metrics up to date, if it is time."""
        if now < self._next:
            return
        self._next = now + INTERVAL
        self._report_counts(settlement)
        self._report_handlers(slices, now)
        self._report_processors(self._measured.loads())
        metrics, service = self._metrics, self._service
        metrics.gauge("antiphon_last_turn_timestamp_seconds", service=service).set(now)
        metrics.gauge("antiphon_handler_in_flight", service=service).set(slices.in_flight)
        metrics.gauge("antiphon_held_records", service=service).set(len(settlement.held))
        owned = list(slices.owned.values())
        ids = sum(len(slice_.ledger) for slice_ in owned)
        metrics.gauge("antiphon_ledger_ids", service=service).set(ids)
        entries = sum(len(slice_.entries) for slice_ in owned)
        metrics.gauge("antiphon_state_entries", service=service).set(entries)
        waiting = sum(len(slice_.waiting) for slice_ in owned)
        metrics.gauge("antiphon_waiting_in_state", service=service).set(waiting)
        instances = sum(len(slice_.instances) for slice_ in owned)
        metrics.gauge("antiphon_workflow_instances", service=service).set(instances)
        parked = sum(len(slice_.parked) for slice_ in owned)
        metrics.gauge("antiphon_parked_keys", service=service).set(parked)
        for phase in (Phase.RESTORING, Phase.STARTING, Phase.SERVING):
            amount = sum(1 for slice_ in owned if slice_.phase is phase)
            metrics.gauge("antiphon_slices", service=service, phase=phase.value).set(amount)

    def report_control(self, pausing: Pausing, queues: GateQueues, control: FollowedControl) -> None:
        """What is paused, what waits for it, and what could not be understood."""
        metrics, service = self._metrics, self._service
        now = (len(pausing.switches.targets), queues.by_gate(), control.refused)
        if now == self._told:
            return
        metrics.gauge("antiphon_paused_targets", service=service).set(now[0])
        for gate in GATES:
            metrics.gauge("antiphon_waiting_records", service=service, gate=gate).set(now[1][gate])
        metrics.counter("antiphon_control_refused_total", service=service).inc(now[2] - self._told[2])
        self._told = now

    def report_breakers(self, breakers: Breakers) -> None:
        """Which are open, and what has become of them since."""
        for name, breaker in breakers.breakers.items():
            if not breaker.transitions and name in self._shown:
                continue
            self._shown.add(name)
            gauge = self._metrics.gauge("antiphon_breaker_state", service=self._service, dependency=name)
            gauge.set(BREAKER_STATES.index(breaker.state))
            for state, amount in breaker.transitions.items():
                self._metrics.counter("antiphon_breaker_transitions_total", dependency=name, state=state).inc(amount)
            breaker.transitions.clear()

    def _report_counts(self, settlement: Settlement) -> None:
        counts = dict(settlement.counts)
        settlement.counts.clear()
        for (name, *values), amount in counts.items():
            labels = dict(zip(LABELS[name], values, strict=True))
            self._metrics.counter(f"antiphon_{name}_total", **labels).inc(amount)
        for (outcome, handler), durations in settlement.durations.items():
            histogram = self._metrics.histogram("antiphon_handler_duration_seconds", handler=handler, outcome=outcome)
            for seconds in durations:
                histogram.observe(seconds)
        settlement.durations.clear()
        for name, found in (("message_age", settlement.ages), ("message_latency", settlement.latencies)):
            for topic, seen in found.items():
                _observe(self._metrics.histogram(f"antiphon_{name}_seconds", topic=topic), seen)
            found.clear()
        self._report_observed(settlement.telling.observed)

    def _report_observed(self, observed: defaultdict[tuple[str, ...], list[float]]) -> None:
        for (name, *values), seen in observed.items():
            labels = dict(zip(LABELS[name], values, strict=True))
            _observe(self._metrics.histogram(f"antiphon_{name}_seconds", **labels), seen)
        observed.clear()

    def _report_handlers(self, slices: Slices, now: float) -> None:
        """Which handlers run, and how old the oldest record is that is in flight."""
        running: Counter[str] = Counter()
        oldest = now
        for slice_ in slices.owned.values():
            for delivery in slice_.deliveries.values():
                running[delivery.handler.name] += delivery.running
                if delivery.entry is None:
                    oldest = min(oldest, delivery.record.timestamp / 1000)
        for handler in self._measured.handlers:
            gauge = self._metrics.gauge("antiphon_handler_running", service=self._service, handler=handler)
            gauge.set(running[handler])
        self._metrics.gauge("antiphon_oldest_record_age_seconds", service=self._service).set(now - oldest)

    def _report_processors(self, loads: Mapping[str, Load]) -> None:
        """How busy those are that were declared at run time; names beyond so many are shown as one."""
        shown = {name: name if place < PROCESSORS_SHOWN else OTHERS for place, name in enumerate(sorted(loads))}
        busy: Counter[str] = Counter()
        for name, load in loads.items():
            busy[shown[name]] += load.busy
            labels = {"service": self._service, "processor": shown[name]}
            added = load.done - self._done.get(name, 0)
            self._metrics.counter("antiphon_processor_commands_total", **labels).inc(max(0, added))
        for name, amount in busy.items():
            self._metrics.gauge("antiphon_processor_busy", service=self._service, processor=name).set(amount)
        for name in self._processors - busy.keys():
            for metric in ("antiphon_processor_busy", "antiphon_processor_commands_total"):
                self._metrics.remove(metric, service=self._service, processor=name)
        self._processors = set(busy)
        self._done = {name: load.done for name, load in loads.items()}


def _observe(histogram: Histogram, seen: Collection[float]) -> None:
    for seconds in seen:
        histogram.observe(seconds)
