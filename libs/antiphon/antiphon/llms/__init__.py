"""What keeps the contract of a language model: OpenAI-compatible servers, and an offline one."""
