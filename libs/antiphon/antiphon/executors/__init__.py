"""Executors: threads for running, inline for simulation and tests."""
