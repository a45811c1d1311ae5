"""A service whose every number is known."""
