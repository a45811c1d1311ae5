"""Telemetry: metrics made real, health, and where both are served."""
