"""The life of containers: what one is, how it starts, runs, stops and goes."""
