"""Processors: what people ask to be done with data."""
