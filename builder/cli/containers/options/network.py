"""Options for a container's networks and ports."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from builder.model import amounts
from builder.model.errors import RecipeError
from builder.model.host_access import parse_host_access
from builder.model.network import DEFAULT, NONE, PortMapping, parse_ports

if TYPE_CHECKING:
    from builder.cli.containers.options.groups import Decorator
    from builder.runtime.record.container import Container, Interface


def options() -> "tuple[Decorator, ...]":
    """Give what click needs to know of them."""
    import click

    return (
        click.option(
            "-p",
            "--publish",
            multiple=True,
            metavar="[ADDRESS:]HOST:PORT[/udp]",
            help="Lead a port of the host, or a range, to one inside; `none`: no more.",
        ),
        click.option(
            "--network",
            "networks",
            multiple=True,
            metavar="NAME[,address=A][,address6=A][,rate=R][,host=H]",
            help=f"Put it on a network, or several; `{DEFAULT}` by default,"
            f" `{NONE}`: loopback only.",
        ),
    )


def describe(container: "Container", given: Mapping[str, object]) -> "Container":
    """Lay networks and ports over a record; `none` takes either away."""
    import msgspec

    networks, publish = given.get("networks") or (), given.get("publish") or ()
    assert isinstance(networks, tuple)
    assert isinstance(publish, tuple)
    interfaces, ports = container.interfaces, container.ports
    if networks:
        interfaces = () if networks == (NONE,) else _interfaces(networks)
    if publish:
        ports = () if publish == (NONE,) else _ports(publish)
    if ports and not interfaces:
        raise RecipeError("a container without a network cannot publish ports")
    return msgspec.structs.replace(container, interfaces=interfaces, ports=ports)


def _ports(given: tuple[str, ...]) -> tuple[PortMapping, ...]:
    return tuple(mapping for text in given for mapping in parse_ports(text))


def _interfaces(given: tuple[str, ...]) -> "tuple[Interface, ...]":
    found = tuple(_interface(text) for text in given)
    names = [one.network for one in found]
    for name in names:
        if name == NONE:
            raise RecipeError(f"`--network {NONE}` goes with no other network")
        if names.count(name) > 1:
            raise RecipeError(f"the network `{name}` is named twice")
    return found


def _interface(text: str) -> "Interface":
    """Read `NAME,key=value,…`."""
    from builder.runtime.record.container import Interface

    name, *words = text.split(",")
    values = dict(word.partition("=")[::2] for word in words)
    unknown = [key for key in values if key not in {"address", "address6", "rate", "host"}]
    if unknown or len(values) < len(words) or not (name and all(values.values())):
        raise RecipeError(
            f"`{text}` does not name a network",
            hint="write `NAME`, or `NAME,address=10.86.0.5,address6=fd12::5,rate=10M`; `host=all`"
            " and `host=25+53/udp` say what of the host it reaches",
        )
    return Interface(
        network=name,
        address=values.get("address"),
        address6=values.get("address6"),
        rate=_RATE.read(values["rate"]) if "rate" in values else None,
        host=parse_host_access(values["host"]) if "host" in values else None,
    )


_RATE = amounts.rate(least=1 << 10, most=1 << 40)
"""Slower, and connections time out before their first packet has passed."""
