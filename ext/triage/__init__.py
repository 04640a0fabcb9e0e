"""`dumpkit triage PATH...`: many dumps, a row for each, groups of the same failure."""
