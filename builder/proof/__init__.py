"""Proving that a recipe gives the same bytes twice, and showing where it does not."""
