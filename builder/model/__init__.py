"""Values: what things are, with no word about where they come from."""
