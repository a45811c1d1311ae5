"""The contract of metrics, and the one table of every metric there is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

Kind = Literal["counter", "gauge", "histogram"]

MILLISECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
AGES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)
LIFETIMES = (1.0, 5.0, 30.0, 60.0, 300.0, 1800.0, 3600.0, 14400.0, 43200.0, 86400.0, 604800.0)
BATCHES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: its full name, what it says, its label names, and for a histogram the upper bounds of its buckets.

    `closed` has the labels whose values are known here; those of the others (topics, types, handlers, routes, …) are
    closed by the catalogue of an installation, and never come from a message's content.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    closed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def values(self, kind: Kind, given: Mapping[str, str]) -> tuple[str, ...]:
        """The values in the order of `labels` (ValueError for another kind, other labels, or a value not foreseen)."""
        if kind != self.kind:
            raise ValueError(f"{self.name} is a {self.kind}, not a {kind}")
        if given.keys() != set(self.labels):
            raise ValueError(f"{self.name} has the labels {', '.join(self.labels) or '(none)'}, not {', '.join(given)}")
        for label, allowed in self.closed.items():
            if given[label] not in allowed:
                raise ValueError(f"{self.name}: {label} is one of {', '.join(allowed)}, not {given[label]!r}")
        return tuple(given[label] for label in self.labels)


def _counter(name: str, text: str, *labels: str, **closed: tuple[str, ...]) -> Metric:
    return Metric(f"antiphon_{name}_total", "counter", text, (*labels, *closed), closed=closed)


def _gauge(name: str, text: str, *labels: str, **closed: tuple[str, ...]) -> Metric:
    return Metric(f"antiphon_{name}", "gauge", text, (*labels, *closed), closed=closed)


def _histogram(
    name: str, text: str, *labels: str, buckets: tuple[float, ...] = MILLISECONDS, **closed: tuple[str, ...]
) -> Metric:
    return Metric(f"antiphon_{name}", "histogram", text, (*labels, *closed), buckets, closed)


SETTLED = ("completed", "failed", "timed_out", "cancelled", "dead_lettered")
ENDED = ("completed", "failed", "timed_out", "cancelled")
UNREADABLE = ("invalid-message", "undecodable", "unknown-schema", "unknown-type")
ATTEMPTED = ("succeeded", "failed", "timeout")
CLOSED = ("redriven", "discarded")
COMMITTED = ("committed", "aborted", "refused", "unknown")
PROJECTED = ("folded", "ignored", "skipped", "refused")
PHASES = ("restoring", "starting", "serving")
BREAKER_STATES = ("closed", "half-open", "open")
GATES = ("pause", "breaker", "rate")
INPUTS = ("start", "reply", "failure", "timer", "signal", "cancel", "answer", "order")
STANDSTILLS = ("differs", "failed")
REBALANCES = ("assigned", "revoked", "lost")
DUE = ("timer", "agenda")
POOLED = ("in_use", "idle")
TOKENS = ("input", "output")
ASKED = ("answered", "rate_limited", "unavailable", "timeout", "refused", "failed")
OTHERS = "(others)"  # the value of a label for all that a metric does not tell apart
LAG = ("service", "topic", "partition")

TABLE: tuple[Metric, ...] = (
    _counter("messages_consumed", "Records settled by their handlers", "topic", "message_type", outcome=SETTLED),
    _histogram("message_age_seconds", "From a record's time to its first attempt", "topic", buckets=AGES),
    _histogram(
        "message_latency_seconds",
        "From a record's time to its settlement, of those that did not wait in the state",
        "topic",
        buckets=AGES,
    ),
    _counter("deserialization_failures", "Records that could not be read as a message", "topic", reason=UNREADABLE),
    _counter("duplicates_skipped", "Records whose id had been settled before", "topic"),
    _counter("messages_forwarded", "Records that lay in the wrong partition and were sent on", "topic"),
    _counter("messages_overtook", "Records that were admitted before another tenant's backlog", "topic"),
    _counter("messages_produced", "Records of batches, by what became of these", "topic", outcome=COMMITTED),
    _counter("dead_letters", "Records that were given up", "topic", "reason"),
    _counter("dead_letters_closed", "Dead letters that were sent back to their owner", outcome=CLOSED),
    _counter("positions_lost", "Positions that their log no longer had", "topic"),
    _histogram("handler_duration_seconds", "From hand-over to the end of an attempt", "handler", outcome=ATTEMPTED),
    _gauge("handler_in_flight", "Records admitted and not settled", "service"),
    _gauge("in_flight_limit", "Records that may be in flight", "service"),
    _gauge("oldest_record_age_seconds", "Age of the oldest record in flight (0: none is)", "service"),
    _gauge("handler_running", "Attempts under way", "service", "handler"),
    _gauge("handler_capacity", "Attempts of this handler's kind that may be under way", "service", "handler"),
    _gauge("processor_busy", "Commands that a declared processor carries out now", "service", "processor"),
    _counter("processor_commands", "Commands that a declared processor has carried out", "service", "processor"),
    _counter("handler_retries", "Attempts after a failed one", "handler"),
    _counter("handler_timeouts", "Attempts that ran longer than their timeout", "handler"),
    _counter("transactions", "Batches by what became of them", outcome=COMMITTED),
    _histogram("transaction_duration_seconds", "From hand-over to the outcome of a batch"),
    _histogram("batch_records", "Records settled by one committed batch", buckets=BATCHES),
    _gauge("slices", "Slices of this worker", "service", phase=PHASES),
    _histogram("slice_restore_seconds", "From assignment to serving"),
    _gauge("state_entries", "Entries in the state of this worker's slices", "service"),
    _gauge(
        "waiting_in_state", "Messages in the state of this worker's slices until a time, or behind a key", "service"
    ),
    _gauge("parked_keys", "Keys that wait for a dead letter or a long retry", "service"),
    _gauge("ledger_ids", "Message ids in the ledgers of this worker's slices", "service"),
    _gauge("paused_targets", "What is paused of a service, as this worker knows it", "service"),
    _gauge("waiting_records", "Records that wait in memory for what is paused, down or used up", "service", gate=GATES),
    _counter("held_back", "Deliveries that had to wait before an attempt, by what held them back", gate=GATES),
    _gauge("breaker_state", "0 closed, 1 half-open, 2 open, as this worker knows it", "service", "dependency"),
    _counter("breaker_transitions", "What breakers became", "dependency", state=BREAKER_STATES),
    _counter("workflows_started", "Instances of workflows that have begun", "workflow"),
    _histogram(
        "workflow_duration_seconds",
        "From a workflow's command to its end",
        "workflow",
        buckets=LIFETIMES,
        outcome=ENDED,
    ),
    _histogram(
        "timer_delay_seconds",
        "From when a timer, or what waits in a state, was due to its turn",
        buckets=AGES,
        kind=DUE,
    ),
    _counter("workflow_turns", "Inputs that led to a turn of a workflow", "workflow"),
    _counter("workflow_inputs_late", "Inputs that no instance waited for (any more)", kind=INPUTS),
    _counter("workflows_ended", "Instances of workflows that have ended", "workflow", outcome=SETTLED),
    _counter("workflows_parked", "Instances that stand still until somebody acts", reason=STANDSTILLS),
    _gauge("workflow_instances", "Instances of workflows that have not ended", "service"),
    _counter("control_refused", "Records of control that make no sense", "service"),
    _gauge("held_records", "Records held in memory", "service"),
    _counter("consumer_rebalances", "What the group said", kind=REBALANCES),
    _gauge("consumer_lag_records", "Records between a position and the end of its log", *LAG),
    _gauge("kafka_round_trip_seconds", "Round trip of the member to its slowest broker, p99 of the last 5 s"),
    _gauge("kafka_requests_waiting", "Requests of the member to brokers that are not answered"),
    _counter("kafka_request_errors", "Requests and answers that failed between the member and brokers"),
    _gauge("last_turn_timestamp_seconds", "When the worker's loop last went round", "service"),
    _gauge("build_info", "Always 1", "version", "python"),
    _gauge("projection_lag_records", "Records between the read side and the end of the log", "topic"),
    _gauge("projection_lag_seconds", "For how long the read side has been behind the end of the log", "projection"),
    _counter("projection_errors", "Turns of the read side that failed", "projection"),
    _counter("projected_records", "Records read by the read side, by what it made of them", outcome=PROJECTED),
    _gauge("workflows_active", "Instances that have not ended, as the read side knows them", "workflow"),
    _gauge("workflows_stuck", "Instances that are parked, as the read side knows them", "workflow"),
    _gauge("workflow_oldest_age_seconds", "Since when the oldest active instance has run (0: none does)", "workflow"),
    _gauge("timers_pending", "Instances that wait for a time, as the read side knows them", "workflow"),
    _gauge("outbox_overdue", "Commands taken in by a gateway and not seen in the log when they should have been"),
    _gauge("outbox_oldest_age_seconds", "Since when the oldest of these has been taken in (0: there is none)"),
    _gauge("db_pool_connections", "Connections of this process to the database of the read side", state=POOLED),
    _counter("commands_submitted", "Commands accepted by the gateway", "command_type"),
    _counter("commands_refused", "Commands that the gateway did not take, since too many wait", "service"),
    Metric(
        "http_server_request_duration_seconds",
        "histogram",
        "Requests to the gateway",
        ("http_request_method", "http_route", "http_response_status_code"),
        MILLISECONDS,
    ),
    Metric("http_server_active_requests", "gauge", "Requests that the gateway is answering"),
    _counter("llm_tokens", "Tokens that models read and wrote", "model", token_type=TOKENS),
    _histogram("llm_request_duration_seconds", "From a prompt to its answer", "model", outcome=ASKED),
)

BY_NAME: Mapping[str, Metric] = {metric.name: metric for metric in TABLE}


class Counter(Protocol):
    """Only grows."""

    def inc(self, amount: float = 1) -> None:
        """Add so much."""


class Gauge(Protocol):
    """Goes up and down."""

    def set(self, value: float) -> None:
        """It is this now."""


class Histogram(Protocol):
    """How often which size."""

    def observe(self, amount: float) -> None:
        """One more, of this size (seconds, records, as the metric's name says)."""


class Metrics(ABC):
    """Gives out the child of a metric for its label values; callers keep it, since looking it up costs a microsecond.

    A name that is not in the table is a KeyError; another kind, other labels or a value outside its closed set are a
    ValueError, at once.
    """

    @abstractmethod
    def counter(self, name: str, **labels: str) -> Counter:
        """The counter with these label values."""

    @abstractmethod
    def gauge(self, name: str, **labels: str) -> Gauge:
        """The gauge with these label values."""

    @abstractmethod
    def histogram(self, name: str, **labels: str) -> Histogram:
        """The histogram with these label values."""

    @abstractmethod
    def remove(self, name: str, **labels: str) -> None:
        """Show this child no more; one that was never made is passed over."""


class _Nothing:
    def inc(self, amount: float = 1) -> None: ...
    def set(self, value: float) -> None: ...
    def observe(self, amount: float) -> None: ...


class NoMetrics(Metrics):
    """For those who do not look at them; wrong names and labels are found all the same."""

    _child = _Nothing()

    def counter(self, name: str, **labels: str) -> Counter:
        BY_NAME[name].values("counter", labels)
        return self._child

    def gauge(self, name: str, **labels: str) -> Gauge:
        BY_NAME[name].values("gauge", labels)
        return self._child

    def histogram(self, name: str, **labels: str) -> Histogram:
        BY_NAME[name].values("histogram", labels)
        return self._child

    def remove(self, name: str, **labels: str) -> None:
        BY_NAME[name].values(BY_NAME[name].kind, labels)
