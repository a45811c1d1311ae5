"""Every error that Antiphon raises, in one tree.

AntiphonError
├── ConfigurationError        found before the first record is read; lists every mistake at once
├── MessageError              a message that cannot be taken as it is
│   ├── InvalidMessage        its content does not fit its class; names the field
│   ├── UndecodableMessage    its bytes are not what they claim to be
│   ├── UnknownSchema         no schema is known for its fingerprint (yet)
│   ├── UnknownType           nobody here knows its type
│   └── MessageTooLarge       more bytes than the cluster takes
├── BrokerError               the cluster said no
│   ├── BrokerUnavailable     try again later: nothing was decided
│   ├── UnknownTopic          a topic that does not exist
│   ├── OffsetOutOfRange      a position that the log no longer (or not yet) has
│   ├── OffsetsUnstable       committed offsets are behind a transaction that is still open
│   ├── TransactionAborted    this transaction cannot commit: abort it
│   │   ├── MembershipChanged the group has moved on: another member may own the slice
│   │   └── RecordRefused     the cluster refused one of its records
│   └── ProducerFenced        this producer is finished: make a new one
├── StoreError                the database of the read side said no
│   ├── StoreUnavailable      try again later: nothing is known to have been written
│   └── ProjectionSuperseded  another replica has folded further: read on from the stored positions
├── HandlerTimeout            a handler ran longer than its declared timeout
├── Retryable                 raised by authors: try again within the handler's policy
│   ├── RetryAfter            ... but not before a stated time
│   │   └── DependencyDown    ... and nobody who needs the same is to try until then
│   └── CalculatorDied        the process that ran a handler with cpu=True ended before the handler did
├── Permanent                 raised by authors: trying again cannot help
│   ├── NoProcessor           no declared processor can execute the command
│   └── TooManyOutputs        one attempt sent or published more than one transaction can bear
├── LlmError                  a language model gave no usable answer; each is Retryable or Permanent as well
│   ├── LlmRateLimited        too many requests: a RetryAfter
│   ├── LlmUnavailable        cannot be reached, or is in trouble: a RetryAfter
│   ├── LlmTimedOut           no answer in time: Retryable
│   ├── LlmBadAnswer          broken JSON, or of the wrong shape: Retryable
│   ├── LlmKeyRefused         the key or token is not accepted: Permanent
│   ├── LlmRequestRefused     a wrong URL, model or parameter: Permanent
│   └── LlmContentRefused     by a content filter, or by the model itself: Permanent
├── WorkflowError             a workflow cannot go on until somebody mends its code: its instance is parked
│   ├── NonDeterminism        the code decides otherwise than its history says
│   ├── ForeignAwaitable      it awaited something that its context did not give it
│   ├── ForgottenAwait        it made a step and never awaited it
│   ├── StepBudgetExceeded    it went on and on in one turn
│   ├── WorkflowRaised        it raised an error that no author meant as its end
│   └── HistoryUnreadable     its history is broken, or of a format that this release does not know
├── StepFailed                a local step of a workflow failed
├── WorkflowTimeout           a time limit inside a workflow ran out; a TimeoutError as well
└── CommandFailed             the command ended without its answer

WorkflowCancelled is a BaseException, as asyncio's CancelledError is: `except Exception` lets it by.
"""

from __future__ import annotations

from collections.abc import Iterable

from antiphon.dependency import Dependency
from antiphon.durations import Duration, seconds


class AntiphonError(Exception):
    """The root of the tree."""


class ConfigurationError(AntiphonError):
    """What is declared cannot run; `mistakes` holds every finding, one line each."""

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(self.mistakes))


class MessageError(AntiphonError):
    """A message that cannot be taken as it is; `code` is the reason a dead letter states."""

    code = "invalid-message"


class InvalidMessage(MessageError):
    """The content does not fit the message class; `fields` maps the path of each wrong field to what is wrong."""

    def __init__(self, message_type: str, fields: dict[str, str]) -> None:
        self.message_type = message_type
        self.fields = fields
        listed = "; ".join(f"{path}: {problem}" for path, problem in fields.items())
        super().__init__(f"{message_type} is not valid: {listed}")


class UndecodableMessage(MessageError):
    """The bytes are not what the headers claim; nothing of the message could be read."""

    code = "undecodable"


class UnknownSchema(MessageError):
    """No schema is known for the fingerprint (16 hex digits, little-endian as on the wire)."""

    code = "unknown-schema"

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint
        super().__init__(f"no schema with fingerprint {fingerprint} has been announced; start its producer first")


class UnknownType(MessageError):
    """The type stands in no catalogue that this process knows."""

    code = "unknown-type"


class MessageTooLarge(MessageError):
    """The encoded message has more bytes than the limit of the installation."""

    code = "too-large"

    def __init__(self, message_type: str, size: int, limit: int) -> None:
        self.message_type, self.size, self.limit = message_type, size, limit
        super().__init__(
            f"{message_type} has {size:,} bytes; at most {limit:,} are taken. Send a reference to the content instead"
        )


class BrokerError(AntiphonError):
    """The cluster refused or could not answer."""


class BrokerUnavailable(BrokerError):
    """The cluster did not answer in time; nothing is known to have happened, try again."""


class UnknownTopic(BrokerError):
    """The topic or partition does not exist; `antiphon topics apply` makes the declared ones."""


class OffsetOutOfRange(BrokerError):
    """The log has no such position; the reader has let go of the partition."""

    def __init__(self, topic: str, partition: int, offset: int) -> None:
        self.topic, self.partition, self.offset = topic, partition, offset
        super().__init__(f"{topic}[{partition}] has no offset {offset}: it has been deleted or was never written")


class OffsetsUnstable(BrokerError):
    """A transaction that carries offsets of this group is still open; ask again."""


class TransactionAborted(BrokerError):
    """The open transaction cannot commit and must be aborted; nothing of it will be seen."""


class MembershipChanged(TransactionAborted):
    """The group metadata given with the offsets is out of date: the slice may have another owner."""


class RecordRefused(TransactionAborted):
    """The cluster refused a record, for its size or its address; the same record will be refused again."""


class ProducerFenced(BrokerError):
    """A newer producer has the same transactional id, or the cluster timed this one out; it can never be used again."""


class HandlerTimeout(AntiphonError):
    """The handler ran longer than its declared timeout; whatever it still returns is dropped."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the handler did not end within its timeout of {seconds:g} s")


class StoreError(AntiphonError):
    """The database of the read side refused or could not answer."""


class StoreUnavailable(StoreError):
    """The database did not answer, or is locked; nothing is known to have been written, try again."""


class ProjectionSuperseded(StoreError):
    """The stored positions are no longer those that were read: another replica has folded these records."""


class Retryable(AntiphonError):
    """Raise it in a handler for a fault that may pass; other exceptions count as retryable too, within the limit."""


class RetryAfter(Retryable):
    """A retryable fault whose other side said how long to wait."""

    def __init__(self, message: str, delay: Duration) -> None:
        self.delay = seconds(delay)
        super().__init__(message)


class CalculatorDied(Retryable):
    """The process that ran the handler has ended in the middle of it; other messages are not touched by it."""


class DependencyDown(RetryAfter):
    """Raise it in a handler that knows for sure: the breaker of this dependency opens at once.

    It stays open for `retry_after` (seconds), or where that is None for as long as the dependency declares.
    """

    def __init__(self, dependency: Dependency, message: str = "", *, retry_after: Duration | None = None) -> None:
        self.dependency = dependency
        self.retry_after = None if retry_after is None else seconds(retry_after)
        super().__init__(message or f"{dependency.name} is down", retry_after or "0s")


class Permanent(AntiphonError):
    """Raise it in a handler when another attempt cannot help; the message becomes a dead letter at once."""


class BlobStoreDown(Retryable):
    """The store of blobs cannot be reached, or does not answer as it should."""


class BlobMissing(Permanent):
    """There is no blob of this reference: it was deleted, or never put, or the reference is none."""


class BlobDamaged(Permanent):
    """A blob's bytes are not those that were put."""


class TooManyOutputs(Permanent):
    """One attempt has sent or published too much: send one command for each part, and let those send the rest."""


class NoProcessor(Permanent):
    """No declared processor can execute the command; the message says of each why not."""


class LlmError(AntiphonError):
    """A language model gave no usable answer."""


class LlmRateLimited(LlmError, RetryAfter):
    """The model takes no more requests for now; `delay` is in seconds, 0 when it did not say how long."""


class LlmUnavailable(LlmError, RetryAfter):
    """The model cannot be reached or is in trouble; `delay` is in seconds, 0 when it did not say how long."""

    def __init__(self, message: str, delay: Duration = "0s") -> None:
        super().__init__(message, delay)


class LlmTimedOut(LlmError, Retryable):
    """The model did not answer in time; it may have done the work, and counted it."""


class LlmBadAnswer(LlmError, Retryable):
    """The answer is no JSON, or does not keep the schema that was asked for; another attempt may."""


class LlmKeyRefused(LlmError, Permanent):
    """The model does not accept who is asking; the message names the setting, never the key."""


class LlmRequestRefused(LlmError, Permanent):
    """The model cannot do what was asked: a wrong URL, an unknown model, a parameter it does not take."""


class LlmContentRefused(LlmError, Permanent):
    """A content filter, or the model itself, refused to answer."""


class CommandFailed(AntiphonError):
    """The command ended without its answer.

    `code` is one of failed, timeout, cancelled, dead-lettered, invalid-message, …; `error_class` is the name of the
    exception at the other side, `retryable` whether sending the command again may help, `causes` what led to it there,
    the nearest first, as class and message.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        error_class: str = "",
        retryable: bool = False,
        causes: Iterable[tuple[str, str]] = (),
    ) -> None:
        self.code, self.error_class, self.retryable = code, error_class, retryable
        self.causes = tuple(causes)
        super().__init__(message)


class WorkflowError(AntiphonError):
    """A workflow cannot go on as its code stands: mend it and resume the instance, or begin a new run."""


class NonDeterminism(WorkflowError):
    """The code of a workflow decides otherwise than its history says.

    `turn` counts from 1; `recorded` and `made` are the first decision that differs, in words (None: there is none);
    `where` is the line of the workflow that made it, or where it stands.
    """

    def __init__(self, instance: str, turn: int, recorded: str | None, made: str | None, where: str) -> None:
        self.instance, self.turn, self.recorded, self.made, self.where = instance, turn, recorded, made, where
        super().__init__(
            f"workflow {instance}, turn {turn}: the history has {recorded or 'nothing more'}, the code did "
            f"{made or 'nothing more'} ({where}); run the code that made this history, or guard the change by"
            f" ctx.version"
        )


class ForeignAwaitable(WorkflowError):
    """The workflow awaited what its context did not give it: nobody would wake it again."""

    def __init__(self, awaited: str, where: str) -> None:
        self.where = where
        super().__init__(
            f"{where} awaits {awaited}; a workflow waits by its context alone: ctx.sleep, or ctx.run for other work"
        )


class ForgottenAwait(WorkflowError):
    """A step was made and never awaited, so it never began."""

    def __init__(self, where: str) -> None:
        self.where = where
        super().__init__(
            f"{where} makes a step that is not awaited: forgotten, or dropped by an error in the same expression; "
            "a step begins when it is awaited"
        )


class StepBudgetExceeded(WorkflowError):
    """The workflow asked for too much in one turn: most likely a loop that never waits."""

    def __init__(self, budget: str, where: str) -> None:
        self.where = where
        super().__init__(f"{where} goes on for more than {budget} without waiting; is this loop meant to end?")


class WorkflowRaised(WorkflowError):
    """An error that is neither a failure by design (Permanent, CommandFailed, …) nor named by the workflow's retry."""

    def __init__(self, error: BaseException, where: str) -> None:
        self.where = where
        super().__init__(f"{where} raised {type(error).__name__}: {error}")


class HistoryUnreadable(WorkflowError):
    """A record of a history cannot be read; nothing of its instance is done until it can."""


class StepFailed(AntiphonError):
    """A local step ended with an error; `error_class` names that error, `retryable`: running it again may help."""

    def __init__(self, name: str, message: str, *, error_class: str = "", retryable: bool = True) -> None:
        self.name, self.error_class, self.retryable = name, error_class, retryable
        super().__init__(f"step {name!r} failed: {message}")


class WorkflowTimeout(AntiphonError, TimeoutError):
    """What was waited for did not come in time."""


class WorkflowCancelled(BaseException):
    """Raised in a workflow where it waits, and at every later wait that is not shielded, when it is to end."""
