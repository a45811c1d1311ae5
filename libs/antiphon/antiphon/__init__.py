"""Antiphon: call and response for agents on Kafka. These are its public names."""

from antiphon.app import App
from antiphon.client import Client, SubmitOptions
from antiphon.context import Approval, Context, State, WorkflowContext
from antiphon.durations import Duration
from antiphon.errors import (
    AntiphonError,
    CommandFailed,
    ConfigurationError,
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
from antiphon.lifecycle import CommandHasFailed
from antiphon.messages import Command, Event, Message, Reply
from antiphon.retry import Retry

__all__ = [
    # errors
    "AntiphonError",
    # writing services
    "App",
    "Approval",
    # calling services
    "Client",
    # messages
    "Command",
    "CommandFailed",
    "CommandHasFailed",
    "ConfigurationError",
    "Context",
    "Duration",
    "Event",
    "InvalidMessage",
    "Message",
    "MessageTooLarge",
    "Permanent",
    "Reply",
    "Retry",
    "RetryAfter",
    "Retryable",
    "State",
    "StepFailed",
    "SubmitOptions",
    "WorkflowCancelled",
    "WorkflowContext",
    "WorkflowError",
    "WorkflowTimeout",
]
__version__ = "0.1.0"
