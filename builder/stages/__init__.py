"""The verbs of a build: each turns one frozen value into one remembered result."""
