"""Apache Kafka through librdkafka; the only place that knows confluent-kafka."""

from antiphon.brokers.kafka.broker import KafkaBroker

__all__ = ["KafkaBroker"]
