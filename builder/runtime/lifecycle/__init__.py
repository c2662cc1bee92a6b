"""A container's life: created, started, changed, ended."""
