"""Sizes of files as people write and read them."""

import click

from builder.model.settings import bytes_of


def read_size(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Read an option such as `5G` as bytes; powers of 1024."""
    size = None if value is None else bytes_of(value)
    if size is None and value is not None:
        raise click.BadParameter(f"`{value}` is no size; write it as `5G` or `512M`", ctx, param)
    return size


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
