"""What containers may take of the host, and what they do take."""
