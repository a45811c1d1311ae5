"""What `import antiphon` gives, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import antiphon

PUBLIC = {
    "AntiphonError",
    "App",
    "Approval",
    "BatchContext",
    "Client",
    "Command",
    "CommandFailed",
    "CommandHasFailed",
    "ConfigurationError",
    "Context",
    "CpuContext",
    "Dependency",
    "DependencyDown",
    "Duration",
    "Escalation",
    "Event",
    "Failed",
    "Handlers",
    "InvalidMessage",
    "Message",
    "MessageTooLarge",
    "Permanent",
    "Platform",
    "PlatformOptions",
    "Rate",
    "Reply",
    "Retry",
    "RetryAfter",
    "Retryable",
    "Service",
    "State",
    "StepFailed",
    "SubmitOptions",
    "WorkflowCancelled",
    "WorkflowContext",
    "WorkflowError",
    "WorkflowTimeout",
}
HEAVY = (
    "confluent_kafka",
    "aiokafka",
    "fastapi",
    "sqlalchemy",
    "prometheus_client",
    "uvicorn",
    "typer",
    "rich",
    "fastavro",
    "httpx",
    "jsonschema",
    "structlog",
    "opentelemetry",
)


def public_names() -> set[str]:
    """As a star import sees them."""
    return set(antiphon.__all__)


def test_the_public_names_are_these_and_no_others() -> None:
    assert public_names() == PUBLIC
    assert all(hasattr(antiphon, name) for name in PUBLIC)


def test_a_name_more_or_less_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(antiphon, "__all__", [*antiphon.__all__, "Accident"])
    assert public_names() != PUBLIC
    monkeypatch.setattr(antiphon, "__all__", antiphon.__all__[2:])
    assert public_names() != PUBLIC


def test_importing_the_library_loads_nothing_heavy() -> None:
    program = f"import sys, antiphon; print([name for name in {HEAVY!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.strip() == "[]"
