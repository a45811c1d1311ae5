"""The HTTP edge: takes commands in, answers for what has become of them."""
