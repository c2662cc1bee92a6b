"""What has changed in a container, and that as a recipe would say it."""
