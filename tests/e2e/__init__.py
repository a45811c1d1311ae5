"""The platform as its users meet it: every program a process of its own, on a real Kafka."""
