"""Durable workflows: code that waits for days, rebuilt from its history wherever it goes on."""
