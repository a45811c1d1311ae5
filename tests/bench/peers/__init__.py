"""The same workflows on other engines; each module is run by an interpreter that has its engine and nothing of ours."""
