"""Sizes of files as people read them."""


def shown(size: int) -> str:
    """Write a number of bytes for people."""
    return f"{size / 1e6:.1f} MB"


def binary(size: float) -> str:
    """Write a number of bytes briefly, in the units in which limits are given: `16.2M`."""
    for unit in ("B", "K", "M", "G"):
        if size < 999.5:
            return f"{size:.0f}{unit}" if unit == "B" or size >= 99.95 else f"{size:.1f}{unit}"
        size /= 1024
    return f"{size:.1f}T"
