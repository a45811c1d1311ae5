"""Tools for tests: what an author of services or of an implementation runs them with."""
