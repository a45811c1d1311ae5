"""A service whose work takes as long as a test wants."""
