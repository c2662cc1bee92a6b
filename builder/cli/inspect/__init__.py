"""The verbs that look at containers and change nothing."""
