"""Metrics of a worker: counted as numbers in the loop, given to the metrics once in a while."""

from __future__ import annotations

from collections import Counter
from operator import itemgetter

from antiphon.metrics import BREAKER_STATES, GATES, Metrics
from antiphon.processing.batch import Commit, Outcome
from antiphon.processing.breakers import Breakers
from antiphon.processing.following import FollowedControl
from antiphon.processing.gate_queues import GateQueues
from antiphon.processing.ownership import Slices
from antiphon.processing.pausing import Pausing
from antiphon.processing.settlement import Settlement
from antiphon.processing.slice import Phase

INTERVAL = 0.5  # seconds between two reports

LABELS = {
    "messages_consumed": ("topic", "message_type", "outcome"),
    "duplicates_skipped": ("topic",),
    "messages_forwarded": ("topic",),
    "messages_overtook": ("topic",),
    "handler_retries": ("handler",),
    "handler_timeouts": ("handler",),
    "dead_letters": ("topic", "reason"),
    "dead_letters_closed": ("outcome",),
    "messages_produced": ("topic",),
    "positions_lost": ("topic",),
    "held_back": ("gate",),
    "workflow_turns": ("workflow",),
    "workflow_inputs_late": ("kind",),
    "workflows_ended": ("workflow", "outcome"),
    "workflows_parked": ("reason",),
}


class Measures:
    """Turns what the loop has counted into metrics."""

    def __init__(self, metrics: Metrics, service: str) -> None:
        self._metrics = metrics
        self._service = service
        self._next = 0.0
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
                metrics.counter("antiphon_messages_produced_total", topic=topic).inc(amount)

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
        for topic, ages in settlement.ages.items():
            histogram = self._metrics.histogram("antiphon_message_age_seconds", topic=topic)
            for seconds in ages:
                histogram.observe(seconds)
        settlement.ages.clear()
