"""TOML as people write it: where each value stands, and how a mistake in it is shown."""
