"""What a container was: snapshots, clones, and containers as files."""
