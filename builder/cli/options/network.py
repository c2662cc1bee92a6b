"""Options for a container's networks and ports."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from builder.model.errors import RecipeError
from builder.model.network import PortMapping, parse_port

if TYPE_CHECKING:
    from builder.cli.options import Decorator
    from builder.runtime.container import Container

NETWORK = "oven"
"""The network that a container is on unless it is said otherwise."""


def options() -> "tuple[Decorator, ...]":
    """Give what click needs to know of them."""
    import click

    return (
        click.option(
            "-p",
            "--publish",
            multiple=True,
            metavar="[ADDRESS:]HOST:PORT[/udp]",
            help="Lead a port of the host to a port of the container.",
        ),
        click.option(
            "--network", default=NETWORK, show_default=True, help="`none` for loopback only."
        ),
    )


def describe(container: "Container", given: Mapping[str, object]) -> "Container":
    """Lay networks and ports over a record."""
    import msgspec

    from builder.runtime.container import Interface

    network = str(given.get("network") or NETWORK)
    if network not in {NETWORK, "none"}:
        raise RecipeError(
            f"there is no network `{network}`", hint=f"there are: `{NETWORK}` and `none`"
        )
    publish = given.get("publish", ())
    assert isinstance(publish, tuple)  # as click and the quick way give it
    ports: tuple[PortMapping, ...] = tuple(parse_port(one) for one in publish)
    if ports and network == "none":
        raise RecipeError("a container without a network cannot publish ports")
    interfaces = () if network == "none" else (Interface(network=network),)
    return msgspec.structs.replace(container, interfaces=interfaces, ports=ports)
