"""Where a container's files lie: its layers, its own disk, volumes."""
