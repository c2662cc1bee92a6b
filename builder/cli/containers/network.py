"""`oven network`: the networks that containers are on."""

import json
from typing import TYPE_CHECKING

import click

from builder.cli.terminal.table import columns, table
from builder.cli.terminal.verbose import verbose
from builder.host.places import Places
from builder.model.errors import HostError

if TYPE_CHECKING:
    from builder.runtime.network.inspect import Shown
    from builder.runtime.record.container import Container

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_AUTO = "auto"
_HOST = "all|none|PORT[/udp][+...]"
_WHAT_OF_THE_HOST = "What of this host members reach besides its names, such as 25+53/udp."
_DNS = click.option(
    "--dns",
    multiple=True,
    metavar="ADDRESS|none",
    help="A name server for members, from their next start on; `none`: its own.",
)


@click.group()
def network() -> None:
    """Create, list, show and remove networks for containers."""
    if Places.of_user().ordinary:
        raise HostError(
            "an ordinary user's containers are on no network of their own: they use the host's",
            hint="run the same command as root, for containers of root",
        )


@network.command()
@click.argument("name")
@click.option(
    "--subnet",
    default=_AUTO,
    metavar="NET",
    help="Its IPv4 addresses, such as 10.86.0.0/24; `none` for none.",
)
@click.option(
    "--subnet6",
    default=_AUTO,
    metavar="NET",
    help="Its IPv6 addresses; `none` for none.",
)
@click.option(
    "--no-nat",
    is_flag=True,
    help="Show members to the outside by their own addresses, not the host's.",
)
@click.option("--internal", is_flag=True, help="Let members reach only each other.")
@click.option("--host", default="none", metavar=_HOST, help=_WHAT_OF_THE_HOST)
@_DNS
@verbose
def create(
    name: str,
    subnet: str,
    subnet6: str,
    no_nat: bool,  # noqa: FBT001  # click's way
    internal: bool,  # noqa: FBT001
    host: str,
    dns: tuple[str, ...],
) -> None:
    """Make a network; unless they are given, its addresses are chosen."""
    if no_nat and internal:
        raise click.UsageError("an internal network has no way out that --no-nat could change")
    from builder.model.host_access import parse_host_access
    from builder.model.network import NONE, Network
    from builder.runtime.network import definitions

    wanted = Network(
        name=name,
        subnet=None if subnet == NONE else subnet,
        subnet6=None if subnet6 == NONE else subnet6,
        nat=not no_nat,
        internal=internal,
        host=parse_host_access(host),
        dns=_servers(dns),
    )
    made = definitions.create(Places.of_user(), wanted)
    click.echo("\t".join(filter(None, (made.name, made.subnet, made.subnet6))))


@network.command(name="set")
@click.argument("name")
@click.option("--host", metavar=_HOST, help="What of this host members reach, at once.")
@_DNS
@verbose
def set_(name: str, host: str | None, dns: tuple[str, ...]) -> None:
    """Change a network."""
    if host is None and not dns:
        raise click.UsageError("say what to change: --host or --dns")
    from builder.model.host_access import parse_host_access
    from builder.runtime.network import admit, definitions

    access = None if host is None else parse_host_access(host)
    if dns:
        definitions.direct(Places.of_user(), name, _servers(dns))
    if access is not None:
        admit(Places.of_user(), name, access)
    click.echo(name)


@network.command(name="list")
@AS_JSON
def list_(as_json: bool) -> None:  # noqa: FBT001  # click's way
    """List the networks."""
    from builder.runtime.network.inspect import list_networks

    rows = [_facts(shown) for shown in list_networks(Places.of_user())]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    keys = ("name", "subnet", "subnet6", "kind", "containers")
    cells = [tuple(map(str.upper, keys)), *(tuple(_word(row[key]) for key in keys) for row in rows)]
    click.echo("\n".join(table(cells)))


@network.command()
@click.argument("name")
@AS_JSON
def show(name: str, as_json: bool) -> None:  # noqa: FBT001  # click's way
    """Show a network, who needs it, and who is on it."""
    from builder.runtime.network.inspect import show as look_at

    shown = look_at(Places.of_user(), name)
    facts = _facts(shown)
    if as_json:
        click.echo(json.dumps({**facts, "members": _members(shown)}, indent=2))
        return
    members = columns([tuple(map(_word, member.values())) for member in _members(shown)])
    lines = [(key, _word(value)) for key, value in facts.items()]
    click.echo("\n".join(columns([*lines, *(("member", member) for member in members)])))


@network.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@verbose
def rm(names: tuple[str, ...]) -> None:
    """Remove networks that no container needs."""
    from builder.runtime.network.inspect import remove

    for name in names:
        remove(Places.of_user(), name)
        click.echo(name)


@network.command()
@verbose
def reload() -> None:
    """Bring back all rules, bridges and name servers, as after a reload of a firewall."""
    from builder.runtime.network.bridges import Switch

    Switch().settle()


def tell_notices(places: Places, container: "Container") -> None:
    """Say what keeps a container from its networks, as far as that can be known."""
    if container.interfaces:
        from builder.runtime.network.inspect import notices

        for notice in notices(places, container):
            click.echo(f"note: {notice}", err=True)


def _servers(dns: tuple[str, ...]) -> tuple[str, ...]:
    if "none" in dns and len(dns) > 1:
        raise click.UsageError("--dns none stands alone")
    return () if dns == ("none",) else dns


def _facts(shown: "Shown") -> dict[str, object]:
    from builder.model.host_access import show_host_access

    network, segment = shown.network, shown.segment
    return {
        "name": network.name,
        "kind": "internal" if network.internal else "nat" if network.nat else "routed",
        "host": show_host_access(network.host),
        "dns": list(network.dns),
        "subnet": segment.subnet if segment else network.subnet,
        "subnet6": segment.subnet6 if segment else network.subnet6,
        "bridge": segment.bridge if segment else None,
        "containers": list(shown.needed_by),
    }


def _members(shown: "Shown") -> list[dict[str, object]]:
    return [
        {
            "container": lease.name,
            "device": lease.device,
            "address": lease.address,
            "address6": lease.address6,
            "mac": lease.mac,
            "rate": lease.rate,
            "ports": [str(port) for port in lease.ports],
        }
        for lease in shown.members
    ]


def _word(value: object) -> str:
    if value is None or value == []:
        return "-"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
