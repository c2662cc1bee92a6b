"""Package files: what is in a .deb, taken apart within limits."""
