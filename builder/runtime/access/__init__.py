"""What people do in a container that is there: commands, consoles, logs and copies."""
