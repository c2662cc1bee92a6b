"""Reading and judging tar archives, which may come from a stranger."""
