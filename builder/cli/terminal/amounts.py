"""Amounts as options of a command."""

from collections.abc import Callable

import click

from builder.model.amounts import Amount


def reader(amount: Amount) -> Callable[[click.Context, click.Parameter, str | None], int | None]:
    """Give what reads the value of an option."""

    def read(_: click.Context, param: click.Parameter, value: str | None) -> int | None:
        return None if value is None else amount.read(value, param.opts[0])

    return read
