"""The verbs that reach into a container that runs."""
