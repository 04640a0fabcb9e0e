"""A dumpkit command of one's own."""
