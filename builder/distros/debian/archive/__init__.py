"""An archive of packages: its mirrors, its indexes, and what to choose from them."""
