"""Programs that come beside Oven."""
