"""The prompt: reading lines with completion and history, on prompt_toolkit."""
