"""Commands about recipes, templates and what builds remember."""
