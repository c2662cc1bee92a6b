"""What this machine does for us: the only floor that touches the world."""
