"""The documentation's pages that are made of the code: one a command, from its registry entry."""
