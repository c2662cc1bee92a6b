"""The networks of containers: on and off their bridges, and the name servers to ask."""

from builder.host.places import Places
from builder.model.host_access import HostAccess
from builder.model.network import Lease, Network
from builder.runtime.network import definitions
from builder.runtime.network.bridges import Switch
from builder.runtime.network.growth import BridgeSpec, NetworkMember, begin
from builder.runtime.network.resolv_conf import resolvers
from builder.runtime.record.container import Container, Interface
from builder.runtime.record.layout import folder_of

__all__ = [
    "admit",
    "attach",
    "detach",
    "let_go",
    "mend_names",
    "publish",
    "resolvers",
    "resolvers_for",
    "set_live",
]


def attach(places: Places, container: Container, pid: int) -> tuple[Lease, ...]:
    """Give a container its interfaces, in the order of its record; it has not been started.

    The process is its first. Raises ConflictError when one of its ports or addresses is taken,
    NotFoundError when a network is not there any more. An ordinary user's container leases nothing:
    it has the host's address.
    """
    if places.ordinary:
        from builder.runtime.network import pasta

        pasta.attach(places, container, pid)
        return ()
    switch = Switch()
    active = {segment.key for segment in switch.state().segments}
    wishes = []
    for one in container.interfaces:
        key = definitions.key_of(places, one.network)
        look = definitions.find if key in active else definitions.ready
        wishes.append(_wish(key, look(places, one.network), one))
    member = NetworkMember(
        key=_key(places, container.name),
        name=container.name,
        pid=pid,
        ports=container.ports,
        address_key=container.address_key,
    )
    return switch.attach(member, wishes)


def detach(places: Places, name: str) -> None:
    """Take a container off its networks; one that is on none is no error."""
    if places.ordinary:
        from builder.runtime.network import pasta

        pasta.detach(places, name)
        return
    Switch().detach(_key(places, name))


def let_go(places: Places, name: str) -> None:
    """Do the same, but do not wait until the kernel has done it, which takes it 50 ms.

    Whoever changes networks next waits for that.
    """
    if places.ordinary:
        detach(places, name)
        return
    Switch().let_go(_key(places, name))


def mend_names(places: Places) -> None:
    """Have names served again where somebody has killed the server; HostError when it cannot."""
    if not places.ordinary:
        Switch().mend_names()


def set_live(places: Places, container: Container) -> None:
    """Hold a running container to the rates of its record, and to what of the host it may reach."""
    wishes = {}
    for one in container.interfaces:
        key = definitions.key_of(places, one.network)
        wishes[key] = _wish(key, definitions.find(places, one.network), one)
    Switch().change(_key(places, container.name), wishes)


def publish(places: Places, container: Container) -> None:
    """Lead ports of the host to a running container that kept them closed so far."""
    Switch().publish(_key(places, container.name), container.ports)


def admit(places: Places, name: str, host: HostAccess) -> None:
    """Have the members of a network reach this of the host, those that run at once."""
    definitions.admit(places, name, host)
    Switch().admit(definitions.key_of(places, name), host)


def _wish(key: str, network: Network, one: Interface) -> BridgeSpec:
    return BridgeSpec(key, network, one.address, one.address6, one.rate, one.host)


def resolvers_for(places: Places, container: Container) -> tuple[str, ...]:
    """List the name servers that a container is told of, before it is attached.

    Those are what its first network was given, or that network's own, which knows the other
    members, or else those of the host.
    """
    if not container.interfaces:
        return ()
    if places.ordinary:
        from builder.runtime.network import pasta

        return resolvers() or (pasta.DNS,)
    name = container.interfaces[0].network
    if given := definitions.find(places, name).dns:
        return given
    key = definitions.key_of(places, name)
    segment = Switch().state().segment(key)
    if segment is None:
        segment = begin(BridgeSpec(key, definitions.ready(places, name)))
    if not segment.named:
        return resolvers()
    return tuple(one for one in (segment.gateway, segment.gateway6) if one)


def _key(places: Places, name: str) -> str:
    return str(folder_of(places, name))
