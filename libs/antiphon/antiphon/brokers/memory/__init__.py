"""A real broker in process: partitions, groups and transactions as Kafka has them, on any clock."""

from antiphon.brokers.memory.broker import MemoryBroker
from antiphon.brokers.memory.cluster import Limits

__all__ = ["Limits", "MemoryBroker"]
