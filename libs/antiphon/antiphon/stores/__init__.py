"""Stores: the read side in SQL."""
