"""The unit that starts containers with the host, kept as their records say, and told of."""

import click

from builder.host.places import Places


def settle_autostart(places: Places) -> None:
    """Write or remove the unit that starts containers with the host, and tell of it."""
    from builder.host.units import systemd_of
    from builder.runtime.lifecycle import autostart

    if told := autostart.settle(places, systemd_of(places)):
        click.echo(told, err=True)
