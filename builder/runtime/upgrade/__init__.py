"""A new template under a container that keeps its own changes."""
