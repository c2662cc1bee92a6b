"""Looking at networks: who is on them, who needs them, and what is in their way."""

from collections.abc import Iterator
from pathlib import Path

from builder.host.network.firewalls import barriers
from builder.host.places import Places
from builder.model.errors import ConflictError, HostError
from builder.model.network import DEFAULT, Lease, Network, Segment
from builder.model.value import Value
from builder.runtime.network import definitions, dns
from builder.runtime.network.bridges import FOLDER, Switch
from builder.runtime.network.growth import BridgeSpec, begin
from builder.runtime.record.container import Container, readable


class Shown(Value, frozen=True, kw_only=True):
    """A network, and how it is used now."""

    network: Network
    segment: Segment | None = None
    """What there is on this host while it has members."""
    members: tuple[Lease, ...] = ()
    needed_by: tuple[str, ...] = ()
    """The containers of this home that are to be on it, running or not."""


def show(places: Places, name: str) -> Shown:
    """Tell about one network."""
    network = definitions.find(places, name)
    return _shown(places, network, _users(places).get(name, []))


def list_networks(places: Places) -> tuple[Shown, ...]:
    """Tell about all networks, the default one first."""
    users = _users(places)
    found = (definitions.find(places, name) for name in definitions.names(places))
    return tuple(_shown(places, one, users.get(one.name, [])) for one in found)


def remove(places: Places, name: str) -> None:
    """Remove a network that nobody needs; ConflictError names who does."""
    shown = show(places, name)
    if name == DEFAULT:
        raise ConflictError(f"the network `{DEFAULT}` is there by itself and cannot be removed")
    needed = sorted({*shown.needed_by, *(lease.name for lease in shown.members)})
    if needed:
        raise ConflictError(
            f"the network `{name}` is needed by {_listed(needed)}",
            hint=f"`oven destroy {' '.join(needed)}` first, or put them on another network",
        )
    definitions.remove(places, name)


def notices(places: Places, container: Container, folder: Path = FOLDER) -> Iterator[str]:
    """Say what is wrong with the networks of a container, each thing once in a boot."""
    if places.ordinary:
        return  # on none of this host's networks
    state = Switch(folder).state()
    segments = []
    for one in container.interfaces:
        key = definitions.key_of(places, one.network)
        known = state.segment(key)
        segments.append(known or begin(BridgeSpec(key, definitions.find(places, one.network))))
    told = folder / "told"
    for notice in _wrong(segments):
        if notice not in _lines(told):
            folder.mkdir(parents=True, exist_ok=True)
            with told.open("a", encoding="utf-8") as file:
                file.write(notice + "\n")
            yield notice


def _wrong(segments: list[Segment]) -> Iterator[str]:
    for segment in segments:
        reason = None if segment.named else dns.is_possible(segment)
        if reason:
            yield f"containers do not find one another by name: {reason}"
    if not segments:
        return
    try:
        found = barriers()
    except HostError:
        return  # `oven doctor` says more
    for one in found:
        what = "names" if one.way == "input" else "the network"
        yield (
            f"the chain `{one.chain}` of this host's firewall may keep containers from {what};"
            f" to let them pass: {one.fix}"
        )


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []


def _shown(places: Places, network: Network, users: list[str]) -> Shown:
    key = definitions.key_of(places, network.name)
    state = Switch().state()
    return Shown(
        network=network,
        segment=state.segment(key),
        members=tuple(lease for lease in state.leases if lease.segment == key),
        needed_by=tuple(users),
    )


def _users(places: Places) -> dict[str, list[str]]:
    """Find which containers are to be on which network."""
    found: dict[str, list[str]] = {}
    for container in readable(places):
        for interface in container.interfaces:
            found.setdefault(interface.network, []).append(container.name)
    return found


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return "container " + ", ".join(f"`{name}`" for name in names[:3]) + more
