"""The soak: real services on a real Kafka, killed at random for minutes, and every effect counted at the end."""
