"""The page that lists all metrics, made from their table: python -m antiphon.telemetry.document > docs/metrics.md."""

from __future__ import annotations

from antiphon.metrics import TABLE, Metric

HEAD = """\
# Metrics

Every program serves these at `/metrics` on `ANTIPHON_METRICS_PORT` (9100), each from its first use on: a gateway has no
worker's gauges. Labels come from closed sets (topics, types, handlers, declared processors, outcomes), never from what
a message says; a process has far fewer than 2,000 series.

`antiphon_workflows_active`, `_stuck`, `_oldest_age_seconds`, `antiphon_timers_pending` and `antiphon_outbox_*` are read
from the database by every replica of the read side: take `max`, not `sum`. Lag is told by the workers themselves and
vanishes with them: `AntiphonJobAbsent` says so, and an exporter of Kafka's own sees it from outside.

Some figures of the usual catalogues are told by these: assigned partitions by `antiphon_slices`, commit failures by
`antiphon_transactions_total` with another outcome than `committed`, fired timers by the count of
`antiphon_timer_delay_seconds`, what is paused by `antiphon_paused_targets`, the last poll by
`antiphon_last_turn_timestamp_seconds`. Beside them there is what Prometheus' client shows of any process (`process_*`,
`python_*`).

Rules and alerts are in `deploy/prometheus`, dashboards in `deploy/grafana`, what to do in [runbooks.md](runbooks.md).

| Metric | Kind | Labels | What it says |
|---|---|---|---|
"""


def page() -> str:
    """The page as Markdown."""
    return HEAD + "".join(f"{_row(metric)}\n" for metric in TABLE)


def _row(metric: Metric) -> str:
    labels = ", ".join(_label(metric, name) for name in metric.labels) or "none"
    bounds = f" (buckets from {metric.buckets[0]:g} to {metric.buckets[-1]:g})" if metric.buckets else ""
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help}{bounds} |"


def _label(metric: Metric, name: str) -> str:
    values = metric.closed.get(name)
    return f"`{name}`" if values is None else f"`{name}` ({', '.join(values)})"


if __name__ == "__main__":
    print(page(), end="")
