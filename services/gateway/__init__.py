"""The gateway of this installation."""
