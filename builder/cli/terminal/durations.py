"""Spans of time as people write them."""

import re

import click

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SPAN = re.compile(r"(\d{1,9})([smhdw])")


def read_duration(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Read an option such as `12h` or `1d` as seconds."""
    if value is None:
        return None
    found = _SPAN.fullmatch(value)
    if found is None or int(found[1]) == 0:
        text = f"`{value}` is no span of time; write it as `30m`, `12h`, `1d` or `2w`"
        raise click.BadParameter(text, ctx, param)
    return int(found[1]) * _UNITS[found[2]]
