"""Moments as a person types them: `10m` ago, a date, a date and time."""

import time

import click

from builder.model import amounts


def _read(ctx: click.Context, param: click.Parameter, text: str | None) -> float | None:
    """Turn what was typed into seconds since 1970; what names no zone is local time."""
    if text is None:
        return None
    if (ago := amounts.seconds(text.strip())) is not None:
        return time.time() - ago
    from datetime import datetime

    try:
        return datetime.fromisoformat(text.strip()).astimezone().timestamp()
    except (ValueError, OverflowError, OSError):
        example = "write `10m` (s, m, h, d, w), `2026-05-01` or `2026-05-01 12:30`"
        raise click.BadParameter(f"`{text}` is no time: {example}", ctx, param) from None


SINCE = click.option(
    "--since", callback=_read, metavar="TIME", help="Begin there: `10m` ago, or a date and time."
)
