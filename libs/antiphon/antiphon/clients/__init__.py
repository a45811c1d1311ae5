"""Clients: commands from programs that are no services, over Kafka and over the embedded broker."""
