"""Oven: recipes in, templates out, containers from them, a catalog to carry them."""

__version__ = "0.1.0"
