"""Moments as a person types them: `10m` ago, a date, a date and time."""

import re
import time

import click

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_AGO = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


def _read(ctx: click.Context, param: click.Parameter, text: str | None) -> float | None:
    """Turn what was typed into seconds since 1970; what names no zone is local time."""
    if text is None:
        return None
    if ago := _AGO.fullmatch(text.strip()):
        return time.time() - float(ago[1]) * _UNITS[ago[2]]
    from datetime import datetime

    try:
        return datetime.fromisoformat(text.strip()).astimezone().timestamp()
    except (ValueError, OverflowError, OSError):
        example = "write `10m` (s, m, h, d, w), `2026-05-01` or `2026-05-01 12:30`"
        raise click.BadParameter(f"`{text}` is no time: {example}", ctx, param) from None


SINCE = click.option(
    "--since", callback=_read, metavar="TIME", help="Begin there: `10m` ago, or a date and time."
)
