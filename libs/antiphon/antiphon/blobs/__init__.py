"""Blob stores: each keeps the contract of `blob.py`."""
