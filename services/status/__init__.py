"""The read side of this installation."""
