"""Brokers: Kafka and the one in process."""
