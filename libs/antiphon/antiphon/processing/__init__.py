"""The worker: key-ordered, exactly-once processing of what a service reads."""
