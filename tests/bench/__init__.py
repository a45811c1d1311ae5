"""The same work done by Antiphon and by what a user would write or take instead, side by side on a real Kafka."""
