"""Analysis of texts: one contract, and what keeps it without a model."""
