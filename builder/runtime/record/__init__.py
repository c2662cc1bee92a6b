"""What is kept of a container, on disk and until the host ends."""
