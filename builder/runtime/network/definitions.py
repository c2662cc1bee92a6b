"""Definitions: which networks there are, kept for as long as nobody removes them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from builder.host.network import link
from builder.host.places import Places
from builder.host.trees import durable
from builder.model.errors import ConflictError, HostError, NotFoundError, RecipeError
from builder.model.host_access import HostAccess
from builder.model.network import DEFAULT, NONE, Network
from builder.model.value import canonical
from builder.runtime.network import addresses
from builder.runtime.network.resolv_conf import resolvers
from builder.runtime.record.container import NAME

_LONGEST = 32
"""A network's name is a DNS label, since `CONTAINER.NETWORK` is a name on it, and a short one."""

_SERVERS = 3
"""MAXNS of resolv.conf(5)."""

CHOOSE = "auto"
"""In place of a subnet: Oven is to find one."""


def key_of(places: Places, name: str) -> str:
    """Name a network among those of all OVEN_HOMEs of this host."""
    return str(_file(places, name))


def names(places: Places) -> tuple[str, ...]:
    """List all networks, the default one first."""
    found = sorted(path.stem for path in _folder(places).glob("[a-z0-9]*.json"))
    return (DEFAULT, *(name for name in found if name != DEFAULT))


def find(places: Places, name: str) -> Network:
    """Give a network; the default one is made when it is first asked for. Or NotFoundError."""
    found = _read(places, name)
    if name == DEFAULT:
        return _default(places, found)
    if found is None:
        raise NotFoundError(
            f"there is no network `{name}`", hint="`oven network list` shows those that exist"
        )
    return found


def ready(places: Places, name: str) -> Network:
    """Give a network that is about to get its first member, its subnet not in the host's way.

    A subnet that Oven chose gives way to what the host is connected to meanwhile.
    """
    network = find(places, name)
    if not network.subnet or not network.chosen:
        return network
    own = addresses.bridge_of(key_of(places, name))
    taken = [*(r.network for r in link.connected() if r.interface != own), *resolvers()]
    if addresses.overlaps(network.subnet, taken) is None:
        return network
    with _locked(places):
        moved = msgspec.structs.replace(network, subnet=_free(places, name))
        _write(places, moved)
    return moved


def create(places: Places, wanted: Network) -> Network:
    """Keep a new network; where a subnet is `auto`, one that nobody has is chosen."""
    if not _is_name(wanted.name) or wanted.name == NONE:
        raise RecipeError(
            f"`{wanted.name}` cannot name a network",
            hint="use lower-case letters, digits and `-`, at most 32; `none` means no network",
        )
    check_servers(wanted.dns)
    with _locked(places):
        if wanted.name == DEFAULT or _read(places, wanted.name) is not None:
            raise ConflictError(f"there is a network `{wanted.name}` already")
        chosen, chosen6 = wanted.subnet == CHOOSE, wanted.subnet6 == CHOOSE
        network = msgspec.structs.replace(
            wanted,
            chosen=chosen,
            chosen6=chosen6,
            subnet=_free(places, wanted.name) if chosen else _checked(wanted.subnet, 4),
            subnet6=addresses.new_subnet6() if chosen6 else _checked(wanted.subnet6, 6),
        )
        _check_place(places, network)
        _write(places, network)
    return network


def access(places: Places, name: str) -> HostAccess:
    """Tell what of the host the members of a network reach; makes and changes nothing."""
    found = _read(places, name)
    return found.host if found else "none"


def admit(places: Places, name: str, host: HostAccess) -> Network:
    """Keep what of the host the members of a network reach."""
    find(places, name)
    with _locked(places):
        network = msgspec.structs.replace(find(places, name), host=host)
        _write(places, network)
    return network


def direct(places: Places, name: str, dns: tuple[str, ...]) -> None:
    """Keep which name servers the members of a network ask; none for its own."""
    check_servers(dns)
    find(places, name)
    with _locked(places):
        _write(places, msgspec.structs.replace(find(places, name), dns=dns))


def check_servers(servers: tuple[str, ...]) -> None:
    """Refuse what containers cannot be told of as name servers; raises RecipeError."""
    from ipaddress import ip_address

    for one in servers:
        try:
            ip_address(one)
        except ValueError:
            raise RecipeError(
                f"`{one}` is not the address of a name server", hint="write it as `10.86.0.53`"
            ) from None
    if len(servers) > _SERVERS:
        raise RecipeError(f"more than {_SERVERS} name servers are asked by nobody")


def remove(places: Places, name: str) -> None:
    """Forget a network; whether somebody needs it is the caller's to find out."""
    with _locked(places):
        if _read(places, name) is None:
            find(places, name)
        _file(places, name).unlink(missing_ok=True)
        durable.Disk().sync(_folder(places))


def _default(places: Places, found: Network | None) -> Network:
    """Give the network that is there by itself, as the settings want it."""
    subnet = _subnet_of_settings(places)
    if found is not None and (found.chosen if subnet is None else subnet == found.subnet):
        return found
    with _locked(places):
        network = Network(
            name=DEFAULT,
            subnet=subnet or _free(places, DEFAULT),
            chosen=subnet is None,
            subnet6=found.subnet6 if found else addresses.new_subnet6(),
            chosen6=True,
            host=found.host if found else "none",
            dns=found.dns if found else (),
        )
        _write(places, network)
    return network


def _checked(subnet: str | None, version: int) -> str | None:
    """Refuse what is no network that containers can be in."""
    if subnet is None:
        return None
    from ipaddress import ip_network

    try:
        network = ip_network(subnet)
    except ValueError:
        network = None
    if network is None or network.version != version:
        example = "10.86.0.0/24" if version == 4 else "fd12:3456:789a::/64"
        raise RecipeError(
            f"`{subnet}` is not an IPv{version} network",
            hint=f"write it as `{example}`, with zeros after the network's part",
        )
    low, high = (8, 29) if version == 4 else (32, 112)
    usable = not (network.is_multicast or network.is_loopback or network.is_link_local)
    if not low <= network.prefixlen <= high or not usable:
        raise RecipeError(
            f"`{subnet}` does not suit containers", hint=f"take a network of /{low} to /{high}"
        )
    return str(network)


def _check_place(places: Places, network: Network) -> None:
    """Refuse a network without addresses, and one whose addresses somebody has."""
    wanted = [one for one in (network.subnet, network.subnet6) if one]
    if not wanted:
        raise RecipeError("a network needs IPv4 or IPv6 addresses")
    for name in names(places):
        other = _read(places, name)
        taken = [one for one in (other.subnet, other.subnet6) if one] if other else []
        for subnet in wanted:
            if addresses.overlaps(subnet, taken):
                raise ConflictError(f"`{subnet}` overlaps the network `{name}`: {', '.join(taken)}")
    for subnet in wanted:
        direct = [route.network for route in link.connected() if route.direct]
        if (found := addresses.overlaps(subnet, direct)) is not None:
            raise ConflictError(
                f"`{subnet}` overlaps `{found}`, which this host is connected to",
                hint="leave `--subnet` out, and a free one is chosen",
            )


def _free(places: Places, name: str) -> str:
    """Choose a subnet that neither the host nor another network has."""
    own = addresses.bridge_of(key_of(places, name))
    taken = [r.network for r in link.routes() if r.interface != own and r.network != "default"]
    for other in names(places):
        network = _read(places, other) if other != name else None
        if network and network.subnet:
            taken.append(network.subnet)
    return addresses.free_subnet([*taken, *resolvers()])


def _is_name(name: str) -> bool:
    return bool(NAME.fullmatch(name)) and len(name) <= _LONGEST


def _folder(places: Places) -> Path:
    return places.data / "networks"


def _file(places: Places, name: str) -> Path:
    return _folder(places) / f"{name}.json"


def _read(places: Places, name: str) -> Network | None:
    if not _is_name(name):
        return None
    path = _file(places, name)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Network)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise HostError(f"the record of network `{name}` is damaged: {error}", at=path) from error


def _write(places: Places, network: Network) -> None:
    durable.replace(_file(places, network.name), canonical(network))


@contextlib.contextmanager
def _locked(places: Places) -> Iterator[None]:
    with durable.locked(_folder(places) / ".lock", what="the networks of containers"):
        yield


def _subnet_of_settings(places: Places) -> str | None:
    """Read what the settings say of the default network."""
    found = None
    for path in places.settings:
        with contextlib.suppress(FileNotFoundError, PermissionError):
            data = path.read_bytes()
            # Most hosts have no settings file, and these are slow to import.
            from builder.model import settings
            from builder.model.toml.decode import decode_source
            from builder.model.toml.source import source_of_bytes

            source = source_of_bytes(data, path)
            value = decode_source(source, settings.Settings)
            settings.check(value, source)
            found = value.network.subnet or found
    return found


def check_addresses(places: Places, name: str, address: str | None, address6: str | None) -> None:
    """Refuse addresses that no container can have on a network."""
    network = find(places, name)
    for asked, subnet, version in ((address, network.subnet, 4), (address6, network.subnet6, 6)):
        if asked and not subnet:
            raise RecipeError(f"the network `{name}` has no IPv{version}")
        if asked and subnet:
            addresses.check_address(subnet, asked)
