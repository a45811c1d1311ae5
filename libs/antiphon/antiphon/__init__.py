"""Antiphon: call and response for agents on Kafka. These are its public names."""

from antiphon.app import App
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
)
from antiphon.lifecycle import CommandHasFailed
from antiphon.messages import Command, Event, Message, Reply, Service
from antiphon.rate import Rate
from antiphon.retry import Retry

__all__ = [
    # errors
    "AntiphonError",
    # writing services
    "App",
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
    "Event",
    "Failed",
    "InvalidMessage",
    "Message",
    "MessageTooLarge",
    "Permanent",
    "Rate",
    "Reply",
    "Retry",
    "RetryAfter",
    "Retryable",
    "Service",
    "State",
    "SubmitOptions",
]
__version__ = "0.1.0"
