"""The same workflows on other engines; each module is run by the interpreter of its engine, with nothing of ours in it."""
