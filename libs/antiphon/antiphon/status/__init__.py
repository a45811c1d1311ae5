"""The read side: folds what the log tells of commands into rows."""
