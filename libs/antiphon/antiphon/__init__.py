"""Antiphon: call and response for agents on Kafka. These are its public names."""

from typing import TYPE_CHECKING

from antiphon.app import App, Handlers
from antiphon.bundle import Failed
from antiphon.client import Client, SubmitOptions
from antiphon.context import BatchContext, Context, CpuContext, State
from antiphon.dependency import Dependency
from antiphon.durations import Duration
from antiphon.errors import (
    AntiphonError,
    CommandFailed,
    ConfigurationError,
    DependencyDown,
    InvalidMessage,
    MessageTooLarge,
    Permanent,
    Retryable,
    RetryAfter,
    StepFailed,
    WorkflowCancelled,
    WorkflowError,
    WorkflowTimeout,
)
from antiphon.escalation import Escalation
from antiphon.lifecycle import CommandHasFailed
from antiphon.messages import Command, Event, Message, Reply, Service
from antiphon.rate import Rate
from antiphon.retry import Retry
from antiphon.workflow_context import Approval, WorkflowContext

if TYPE_CHECKING:
    from antiphon.platform import Platform, PlatformOptions
else:

    def __getattr__(name: str) -> object:
        """What loads the embedded broker and the codec, when it is asked for."""
        if name in ("Platform", "PlatformOptions"):
            from antiphon import platform

            return getattr(platform, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    # errors
    "AntiphonError",
    # writing services
    "App",
    "Approval",
    "BatchContext",
    # calling services
    "Client",
    # messages
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
    # using services as a library
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
]
__version__ = "0.1.0"
