"""Options for what a container is called, and when it starts and ends."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from builder.cli.containers.options.groups import Decorator
    from builder.runtime.record.container import Autostart, Container


def options() -> "tuple[Decorator, ...]":
    """Give what click needs to know of them."""
    import click

    return (
        click.option(
            "--hostname",
            metavar="NAME",
            help="The host name inside; the container's name by default.",
        ),
        click.option(
            "--restart",
            type=click.Choice(["no", "on-failure", "always"]),
            help="Start it again when it has ended by itself; a reboot from inside always does.",
        ),
        click.option(
            "--autostart/--no-autostart",
            default=None,
            help="Start it with the host, and stop it before the host stops.",
        ),
        click.option(
            "--start-order",
            type=int,
            metavar="N",
            help="Lower ones are started first; 0 by default.",
        ),
        click.option(
            "--start-delay",
            type=click.FloatRange(0),
            metavar="SECONDS",
            help="Wait so many seconds before those of the next order.",
        ),
        click.option(
            "--protect/--no-protect", default=None, help="Have `oven destroy` refuse to remove it."
        ),
    )


def describe(container: "Container", given: Mapping[str, object]) -> "Container":
    """Lay what was given over a record."""
    import msgspec

    changes: dict[str, object] = {
        field: given[option]
        for option, field in (
            ("hostname", "hostname"),
            ("restart", "restart"),
            ("protect", "protected"),
        )
        if given.get(option) is not None
    }
    if "hostname" in changes:
        from builder.runtime.record.container import check_hostname

        check_hostname(str(changes["hostname"]))
    return msgspec.structs.replace(container, **changes, autostart=_autostart(container, given))


def _autostart(container: "Container", given: Mapping[str, object]) -> "Autostart | None":
    """Say when it starts with the host; an order or a delay alone means that it does."""
    from builder.runtime.record.container import Autostart

    wanted, order, delay = (
        given.get("autostart"),
        given.get("start_order"),
        given.get("start_delay"),
    )
    if wanted is False:
        return None
    if wanted is None and order is None and delay is None:
        return container.autostart
    old = container.autostart or Autostart()
    return Autostart(
        order=order if isinstance(order, int) else old.order,
        delay=delay if isinstance(delay, float) else old.delay,
    )
