"""What executes commands by instruction: declared processors, and the pool that chooses among them."""
