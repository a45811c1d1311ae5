"""Committing a batch: in one transaction fenced by the group, or acknowledged record by record."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass

from antiphon.broker import Broker, Producer
from antiphon.clock import Clock
from antiphon.errors import (
    BrokerError,
    BrokerUnavailable,
    MembershipChanged,
    ProducerFenced,
    RecordRefused,
    TransactionAborted,
)
from antiphon.processing.batch import Commit, Outcome

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CommitLimits:
    """Seconds for one call to the cluster, for a whole commit that it does not decide, and after which a call that
    does not return is given up with its thread and its producer."""

    call: float = 10.0
    whole: float = 30.0
    stuck: float = 20.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a committer works with."""

    broker: Broker
    clock: Clock


AT_ONCE = 20_000  # outputs that surely find room in the client's queue


class Committer(ABC):
    """Runs commits, on whatever thread the executor gives; owns the producer. Its methods never raise.

    `send` is for the worker's thread, between two commits: a client's call per record lets go of the interpreter lock,
    which another thread would have to fight for again each time.
    """

    def __init__(self, surroundings: Surroundings, limits: CommitLimits = CommitLimits()) -> None:
        self._broker = surroundings.broker
        self._clock = surroundings.clock
        self._limits = limits
        self._producer: Producer | None = None

    def prepare(self) -> None:
        """Make the producer ready, so that what a former one of its id left open is ended now."""
        try:
            self._ready()
        except BrokerError as error:
            log.warning("the producer is not ready yet: %s", error)
            self._discard()

    @property
    def prepared(self) -> bool:
        """Whether the producer is ready. No slice is restored before: until then a former producer of the same id may
        still commit what it left open."""
        return self._producer is not None

    def send(self, commit: Commit) -> None:
        """Hand over its outputs now, if the producer is ready; what goes wrong is told by `run`."""
        if self._producer is None or len(commit.outputs) > AT_ONCE:
            return
        commit.sent = True
        try:
            self._producer.send(commit.outputs)
        except Exception as error:
            commit.failure = error

    def run(self, commit: Commit) -> None:
        """Commit, and note the outcome in `commit`."""
        begun = commit.alive = self._clock.now()
        try:
            producer = self._ready()
            if not commit.sent:
                producer.send(commit.outputs)
            if commit.failure is not None:
                raise commit.failure
            commit.alive = self._clock.now()
            self._commit(producer, commit)
            outcome, reason = Outcome.COMMITTED, ""
        except RecordRefused as error:
            outcome, reason = self._abort(Outcome.REFUSED), str(error)
        except TransactionAborted as error:
            commit.disowned = isinstance(error, MembershipChanged)
            outcome, reason = self._abort(Outcome.ABORTED), str(error)
        except Exception as error:
            outcome, reason = self._unknown(error), str(error)
        commit.seconds = self._clock.now() - begun
        commit.reason = reason
        commit.outcome = outcome

    def _unknown(self, error: Exception) -> Outcome:
        log.warning(
            "the outcome of a commit is unknown; the log will tell: %s",
            error,
            exc_info=not isinstance(error, BrokerError),
        )
        self._discard()
        self.prepare()
        return Outcome.UNKNOWN

    def _discard(self) -> None:
        if self._producer is not None:
            self._producer.close()
            self._producer = None

    def close(self) -> None:
        """Let go of the producer."""
        self._discard()

    @abstractmethod
    def _ready(self) -> Producer: ...

    @abstractmethod
    def _commit(self, producer: Producer, commit: Commit) -> None: ...

    @abstractmethod
    def _abort(self, outcome: Outcome) -> Outcome: ...


class TransactionalCommitter(Committer):
    """Outputs, state, and the commands offsets of every touched slice in one transaction.

    A producer that is ready has an open transaction with nothing in it.
    """

    def __init__(
        self, surroundings: Surroundings, transactional_id: str, limits: CommitLimits = CommitLimits()
    ) -> None:
        super().__init__(surroundings, limits)
        self._id = transactional_id

    def _ready(self) -> Producer:
        if self._producer is None:
            producer = self._broker.producer(self._id)
            try:
                producer.begin()
                producer.abort(self._limits.call)
                producer.begin()
            except BrokerError:
                producer.close()
                raise
            self._producer = producer
        return self._producer

    def _commit(self, producer: Producer, commit: Commit) -> None:
        assert commit.metadata is not None
        producer.attach(commit.offsets, commit.metadata, self._limits.call)
        if commit.abandoned:
            raise TransactionAborted("a slice of this batch was lost")
        until = self._clock.now() + self._limits.whole
        while True:
            commit.alive = self._clock.now()
            try:
                producer.commit(self._limits.call)
            except BrokerUnavailable:
                if self._clock.now() > until:
                    raise
            else:
                return self._open_next(producer)

    def _open_next(self, producer: Producer) -> None:
        try:
            producer.begin()
        except BrokerError as error:
            log.warning("the next transaction could not be begun, a new producer will: %s", error)
            self._discard()

    def _abort(self, outcome: Outcome) -> Outcome:
        assert self._producer is not None
        try:
            self._producer.abort(self._limits.call)
            self._producer.begin()
        except (BrokerError, ProducerFenced) as error:
            return self._unknown(error)
        return outcome


class AcknowledgedCommitter(Committer):
    """Outputs stored and acknowledged; the offsets follow in the group, by the worker, after that."""

    def _ready(self) -> Producer:
        if self._producer is None:
            self._producer = self._broker.producer()
        return self._producer

    def _commit(self, producer: Producer, commit: Commit) -> None:
        if commit.outputs:
            producer.flush(self._limits.call)

    def _abort(self, outcome: Outcome) -> Outcome:
        return outcome
