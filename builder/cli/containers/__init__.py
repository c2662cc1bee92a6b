"""Commands about containers, their networks, volumes and snapshots."""
