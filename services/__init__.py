"""The services of this installation: thin programs on the library."""
