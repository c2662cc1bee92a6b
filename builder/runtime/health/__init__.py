"""Health of containers: what their template's author says shows that they work, asked and told."""
