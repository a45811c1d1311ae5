"""What is done to the state of whole services: exports and imports, and the way to another number of partitions."""
