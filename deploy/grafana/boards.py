"""What the dashboards show: titles, units and queries. `generate.py` makes Grafana's JSON of it."""

from __future__ import annotations

from dataclasses import dataclass

FAILED = ', outcome=~"failed|timed_out|dead_lettered"'


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: its queries with their legends, and Grafana's name of the unit."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    about: str = ""


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard: rows of panels under a title each."""

    name: str
    title: str
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]


def one(title: str, unit: str, query: str, legend: str, about: str = "") -> Panel:
    """A panel with one query."""
    return Panel(title, unit, ((query, legend),), about)


def rate(metric: str, by: str, selector: str = "") -> str:
    """How much of a counter there is in a second."""
    return f'sum by ({by}) (rate({metric}{{job=~"$job"{selector}}}[$__rate_interval]))'


def quantile(share: float, metric: str, by: str) -> str:
    """What this share of a histogram's observations does not exceed."""
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', f'{by}, le')})"


def total(metric: str, by: str, selector: str = "") -> str:
    """A gauge of many processes, added up."""
    return f'sum by ({by}) ({metric}{{job=~"$job"{selector}}})'


def greatest(metric: str, by: str) -> str:
    """A gauge that several processes show alike."""
    return f'max by ({by}) ({metric}{{job=~"$job"}})'


CONSUMED = "antiphon_messages_consumed_total"
LATENCY = "antiphon_message_latency_seconds"
REQUESTS = "http_server_request_duration_seconds"

OVERVIEW = Board(
    "overview",
    "Antiphon: overview",
    (
        (
            "Are we well?",
            (
                one("Replicas", "short", total("antiphon_build_info", "job"), "{{job}}"),
                one(
                    "Alerts",
                    "short",
                    'sum by (alertname, severity) (ALERTS{alertname=~"Antiphon.*", alertstate="firing"})',
                    "{{alertname}} ({{severity}})",
                ),
                one("Messages by what became of them", "ops", rate(CONSUMED, "outcome"), "{{outcome}}"),
                one(
                    "Share that fails",
                    "percentunit",
                    f"{rate(CONSUMED, 'job', FAILED)} / {rate(CONSUMED, 'job')}",
                    "{{job}}",
                ),
            ),
        ),
        (
            "How long does it take?",
            (
                Panel(
                    "From being written to being settled",
                    "s",
                    tuple(
                        (quantile(share, LATENCY, "job"), f"{{{{job}}}} p{share * 100:.0f}") for share in (0.5, 0.99)
                    ),
                    "Without what waits in a state: for a time, for a later attempt, behind a parked key.",
                ),
                one(
                    "Waiting for the first attempt, p95",
                    "s",
                    quantile(0.95, "antiphon_message_age_seconds", "topic"),
                    "{{topic}}",
                ),
                one(
                    "Handlers, p95", "s", quantile(0.95, "antiphon_handler_duration_seconds", "handler"), "{{handler}}"
                ),
                one(
                    "Age of the oldest record in flight",
                    "s",
                    greatest("antiphon_oldest_record_age_seconds", "service"),
                    "{{service}}",
                ),
            ),
        ),
        (
            "Is there room?",
            (
                one("Lag", "short", total("antiphon_consumer_lag_records", "service, topic"), "{{service}}: {{topic}}"),
                one(
                    "Utilisation of handlers",
                    "percentunit",
                    f"{total('antiphon_handler_running', 'service, handler')}"
                    f" / {total('antiphon_handler_capacity', 'service, handler')}",
                    "{{service}}: {{handler}}",
                    "Attempts under way by how many there may be; handlers of one kind share their places.",
                ),
                one(
                    "Busy processors",
                    "short",
                    total("antiphon_processor_busy", "processor"),
                    "{{processor}}",
                    "Declared ones: commands that they carry out at this moment.",
                ),
                one(
                    "Commands of processors",
                    "ops",
                    rate("antiphon_processor_commands_total", "processor"),
                    "{{processor}}",
                ),
            ),
        ),
        (
            "What goes wrong?",
            (
                one(
                    "Dead letters", "ops", rate("antiphon_dead_letters_total", "topic, reason"), "{{topic}}: {{reason}}"
                ),
                one("Further attempts", "ops", rate("antiphon_handler_retries_total", "handler"), "{{handler}}"),
                one("Timeouts", "ops", rate("antiphon_handler_timeouts_total", "handler"), "{{handler}}"),
                one(
                    "Records that cannot be read",
                    "ops",
                    rate("antiphon_deserialization_failures_total", "topic, reason"),
                    "{{topic}}: {{reason}}",
                ),
            ),
        ),
        (
            "Models",
            (
                one(
                    "Prompts",
                    "ops",
                    rate("antiphon_llm_request_duration_seconds_count", "model, outcome"),
                    "{{model}} {{outcome}}",
                ),
                one("Answers, p95", "s", quantile(0.95, "antiphon_llm_request_duration_seconds", "model"), "{{model}}"),
                one(
                    "Tokens", "ops", rate("antiphon_llm_tokens_total", "model, token_type"), "{{model}} {{token_type}}"
                ),
            ),
        ),
    ),
)

WORKERS = Board(
    "workers",
    "Antiphon: workers",
    (
        (
            "Slices",
            (
                one("Slices by phase", "short", total("antiphon_slices", "service, phase"), "{{service}} {{phase}}"),
                one("Restoring a slice, p95", "s", quantile(0.95, "antiphon_slice_restore_seconds", "job"), "{{job}}"),
                one("Rebalances", "ops", rate("antiphon_consumer_rebalances_total", "job, kind"), "{{job}} {{kind}}"),
                one(
                    "Since the last turn",
                    "s",
                    f"time() - {greatest('antiphon_last_turn_timestamp_seconds', 'job, instance')}",
                    "{{job}} {{instance}}",
                ),
            ),
        ),
        (
            "Commits",
            (
                one(
                    "Batches by what became of them",
                    "ops",
                    rate("antiphon_transactions_total", "job, outcome"),
                    "{{job}} {{outcome}}",
                ),
                one("Commits, p95", "s", quantile(0.95, "antiphon_transaction_duration_seconds", "job"), "{{job}}"),
                one(
                    "Records in a batch",
                    "short",
                    f"{rate('antiphon_batch_records_sum', 'job')} / {rate('antiphon_batch_records_count', 'job')}",
                    "{{job}}",
                ),
                one("Records written", "ops", rate("antiphon_messages_produced_total", "topic"), "{{topic}}"),
            ),
        ),
        (
            "In memory",
            (
                one(
                    "Places in flight that are taken",
                    "percentunit",
                    f"{total('antiphon_handler_in_flight', 'service')}"
                    f" / {total('antiphon_in_flight_limit', 'service')}",
                    "{{service}}",
                ),
                one("Held for a time", "short", total("antiphon_held_records", "service"), "{{service}}"),
                one(
                    "Held by what is paused, down or used up",
                    "short",
                    total("antiphon_waiting_records", "service, gate"),
                    "{{service}} {{gate}}",
                ),
                one(
                    "Breakers",
                    "short",
                    greatest("antiphon_breaker_state", "service, dependency"),
                    "{{service}}: {{dependency}}",
                    "0 closed, 1 half-open, 2 open",
                ),
                one(
                    "What breakers became",
                    "ops",
                    rate("antiphon_breaker_transitions_total", "dependency, state"),
                    "{{dependency}} {{state}}",
                ),
                one("Paused targets", "short", greatest("antiphon_paused_targets", "service"), "{{service}}"),
            ),
        ),
        (
            "In the state",
            (
                one("Entries", "short", total("antiphon_state_entries", "service"), "{{service}}"),
                one("Ids in the ledgers", "short", total("antiphon_ledger_ids", "service"), "{{service}}"),
                one("Waiting messages", "short", total("antiphon_waiting_in_state", "service"), "{{service}}"),
                one("Parked keys", "short", total("antiphon_parked_keys", "service"), "{{service}}"),
                one("Duplicates", "ops", rate("antiphon_duplicates_skipped_total", "topic"), "{{topic}}"),
            ),
        ),
        (
            "To the cluster",
            (
                one(
                    "Round trip to the slowest broker, p99",
                    "s",
                    greatest("antiphon_kafka_round_trip_seconds", "job, instance"),
                    "{{job}} {{instance}}",
                ),
                one(
                    "Requests without an answer yet",
                    "short",
                    total("antiphon_kafka_requests_waiting", "job"),
                    "{{job}}",
                ),
                one("Failed requests", "ops", rate("antiphon_kafka_request_errors_total", "job"), "{{job}}"),
            ),
        ),
        (
            "Processes",
            (
                one("Memory", "bytes", total("process_resident_memory_bytes", "job, instance"), "{{job}} {{instance}}"),
                one(
                    "Processor time",
                    "percentunit",
                    rate("process_cpu_seconds_total", "job, instance"),
                    "{{job}} {{instance}}",
                ),
                one("Open files", "short", total("process_open_fds", "job, instance"), "{{job}} {{instance}}"),
            ),
        ),
    ),
)

WORKFLOWS = Board(
    "workflows",
    "Antiphon: workflows and timers",
    (
        (
            "Instances",
            (
                one("Begun", "ops", rate("antiphon_workflows_started_total", "workflow"), "{{workflow}}"),
                one(
                    "Ended",
                    "ops",
                    rate("antiphon_workflows_ended_total", "workflow, outcome"),
                    "{{workflow}} {{outcome}}",
                ),
                one("Active", "short", greatest("antiphon_workflows_active", "workflow"), "{{workflow}}"),
                one("Parked", "short", greatest("antiphon_workflows_stuck", "workflow"), "{{workflow}}"),
                one(
                    "Age of the oldest",
                    "s",
                    greatest("antiphon_workflow_oldest_age_seconds", "workflow"),
                    "{{workflow}}",
                ),
                one(
                    "From command to end, p95",
                    "s",
                    quantile(0.95, "antiphon_workflow_duration_seconds", "workflow"),
                    "{{workflow}}",
                ),
            ),
        ),
        (
            "Turns",
            (
                one("Turns", "ops", rate("antiphon_workflow_turns_total", "workflow"), "{{workflow}}"),
                one("Late inputs", "ops", rate("antiphon_workflow_inputs_late_total", "kind"), "{{kind}}"),
                one("Parked since the start", "ops", rate("antiphon_workflows_parked_total", "reason"), "{{reason}}"),
                one("On workers", "short", total("antiphon_workflow_instances", "service"), "{{service}}"),
            ),
        ),
        (
            "Times",
            (
                one(
                    "Instances that wait for a time",
                    "short",
                    greatest("antiphon_timers_pending", "workflow"),
                    "{{workflow}}",
                ),
                one("Times that have come", "ops", rate("antiphon_timer_delay_seconds_count", "kind"), "{{kind}}"),
                one("Late by, p95", "s", quantile(0.95, "antiphon_timer_delay_seconds", "kind"), "{{kind}}"),
            ),
        ),
    ),
)

EDGES = Board(
    "gateway",
    "Antiphon: gateway and read side",
    (
        (
            "Requests",
            (
                one(
                    "Answers",
                    "reqps",
                    rate(f"{REQUESTS}_count", "http_response_status_code"),
                    "{{http_response_status_code}}",
                ),
                one("By route, p95", "s", quantile(0.95, REQUESTS, "http_route"), "{{http_route}}"),
                one(
                    "Requests being answered", "short", total("http_server_active_requests", "instance"), "{{instance}}"
                ),
            ),
        ),
        (
            "Commands",
            (
                one("Taken in", "ops", rate("antiphon_commands_submitted_total", "command_type"), "{{command_type}}"),
                one("Refused", "ops", rate("antiphon_commands_refused_total", "service"), "{{service}}"),
                one("Not seen in the log in time", "short", 'max(antiphon_outbox_overdue{job=~"$job"})', "commands"),
                one("Age of the oldest of these", "s", 'max(antiphon_outbox_oldest_age_seconds{job=~"$job"})', "age"),
            ),
        ),
        (
            "Read side",
            (
                one("Behind by", "s", greatest("antiphon_projection_lag_seconds", "projection"), "{{projection}}"),
                one(
                    "Behind by, in records", "short", greatest("antiphon_projection_lag_records", "topic"), "{{topic}}"
                ),
                one("Records read", "ops", rate("antiphon_projected_records_total", "outcome"), "{{outcome}}"),
                one("Failures", "ops", rate("antiphon_projection_errors_total", "projection"), "{{projection}}"),
                one(
                    "Connections to the database",
                    "short",
                    total("antiphon_db_pool_connections", "job, instance, state"),
                    "{{job}} {{instance}} {{state}}",
                ),
            ),
        ),
    ),
)

BOARDS = (OVERVIEW, WORKERS, WORKFLOWS, EDGES)
