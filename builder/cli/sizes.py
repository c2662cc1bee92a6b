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
