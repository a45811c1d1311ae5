"""Examples that run by themselves, each on the embedded broker: `python libs/antiphon/examples/<name>.py`."""
