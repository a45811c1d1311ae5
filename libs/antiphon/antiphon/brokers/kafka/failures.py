"""librdkafka's errors as the errors of the contract."""

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException

from antiphon.errors import (
    BrokerError,
    BrokerUnavailable,
    MembershipChanged,
    OffsetsUnstable,
    ProducerFenced,
    RecordRefused,
    TransactionAborted,
    UnknownTopic,
)

_BY_CODE: dict[int, type[BrokerError]] = {
    **dict.fromkeys(
        (
            KafkaError.ILLEGAL_GENERATION,
            KafkaError.UNKNOWN_MEMBER_ID,
            KafkaError.STALE_MEMBER_EPOCH,
            KafkaError.FENCED_MEMBER_EPOCH,
            KafkaError.FENCED_INSTANCE_ID,
            KafkaError.REBALANCE_IN_PROGRESS,
            KafkaError._ASSIGNMENT_LOST,
        ),
        MembershipChanged,
    ),
    **dict.fromkeys(
        (
            KafkaError.MSG_SIZE_TOO_LARGE,
            KafkaError.RECORD_LIST_TOO_LARGE,
            KafkaError.INVALID_RECORD,
            KafkaError.INVALID_MSG,
            KafkaError.INVALID_MSG_SIZE,
            KafkaError._UNKNOWN_PARTITION,
        ),
        RecordRefused,
    ),
    **dict.fromkeys(
        (
            KafkaError._FENCED,
            KafkaError.PRODUCER_FENCED,
            KafkaError.INVALID_PRODUCER_EPOCH,
            KafkaError.INVALID_PRODUCER_ID_MAPPING,
            KafkaError.TRANSACTION_COORDINATOR_FENCED,
        ),
        ProducerFenced,
    ),
    **dict.fromkeys(
        (
            KafkaError._TIMED_OUT,
            KafkaError._TIMED_OUT_QUEUE,
            KafkaError._MSG_TIMED_OUT,
            KafkaError._TRANSPORT,
            KafkaError._ALL_BROKERS_DOWN,
            KafkaError._RESOLVE,
            KafkaError._WAIT_COORD,
            KafkaError._QUEUE_FULL,
            KafkaError.REQUEST_TIMED_OUT,
            KafkaError.NETWORK_EXCEPTION,
            KafkaError.BROKER_NOT_AVAILABLE,
            KafkaError.LEADER_NOT_AVAILABLE,
            KafkaError.NOT_LEADER_FOR_PARTITION,
            KafkaError.UNKNOWN_LEADER_EPOCH,
            KafkaError.FENCED_LEADER_EPOCH,
            KafkaError.UNKNOWN_TOPIC_ID,
            KafkaError.INCONSISTENT_TOPIC_ID,
            KafkaError.KAFKA_STORAGE_ERROR,
            KafkaError.COORDINATOR_NOT_AVAILABLE,
            KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
            KafkaError.NOT_COORDINATOR,
        ),
        BrokerUnavailable,
    ),
    KafkaError.UNKNOWN_TOPIC_OR_PART: UnknownTopic,
    KafkaError._UNKNOWN_TOPIC: UnknownTopic,
    KafkaError._NOENT: UnknownTopic,  # "no leaders found": what list_offsets says of a topic nobody has
    KafkaError.UNSTABLE_OFFSET_COMMIT: OffsetsUnstable,
}


def failure(error: KafkaError | BaseException, doing: str) -> BrokerError:
    """What the error means, whatever was being done; `doing` begins its sentence."""
    known = _known(error)
    if known is None:
        return BrokerError(f"{doing}: {error}")
    return _meaning(known)(f"{doing}: {known.str()} ({known.name()})")


def record_failure(error: KafkaError | KafkaException, topic: str | None, partition: int | None) -> BrokerError:
    """What became of a record: one without a topic is refused like one without a partition."""
    meant = failure(error, f"a record for {topic}[{partition}]")
    return RecordRefused(str(meant)) if isinstance(meant, UnknownTopic) else meant


def transaction_failure(error: KafkaException, doing: str) -> BrokerError:
    """What the error means for the open transaction: whatever is neither final nor to be repeated needs an abort.

    librdkafka does not mark every such error as abortable; an impossible partition among the outputs is one.
    """
    meant, known = failure(error, doing), _known(error)
    if isinstance(meant, (TransactionAborted, ProducerFenced)):
        return meant
    if isinstance(meant, BrokerUnavailable) and known is not None and not known.txn_requires_abort():
        return meant
    return TransactionAborted(str(meant))


def _known(error: KafkaError | BaseException) -> KafkaError | None:
    if isinstance(error, KafkaException) and error.args and isinstance(error.args[0], KafkaError):
        return error.args[0]
    return error if isinstance(error, KafkaError) else None


def _meaning(error: KafkaError) -> type[BrokerError]:
    if error.fatal():
        return ProducerFenced
    listed = _BY_CODE.get(error.code())
    if listed is not None:
        return listed
    if error.txn_requires_abort():
        return TransactionAborted
    return BrokerUnavailable if error.retriable() else BrokerError
