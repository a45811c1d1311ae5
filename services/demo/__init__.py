"""The demonstration: what a person does with the platform, and whether all of it happened as it should."""
