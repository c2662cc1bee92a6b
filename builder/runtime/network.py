"""The network of a container: on and off the bridge, and the name servers to ask."""

import contextlib
from pathlib import Path

from builder.host.places import Places
from builder.model.network import Lease
from builder.runtime.bridge import Bridge
from builder.runtime.container import Container, folder_of

RESOLV_CONF = (
    "etc/resolv.conf",
    "run/systemd/resolve/resolv.conf",
    "run/NetworkManager/no-stub-resolv.conf",
)
"""Where name servers are looked up, the later ones for when the earlier name only local stubs."""


def attach(places: Places, container: Container, pid: int) -> Lease | None:
    """Give a container its `eth0`; it has been created and not been started.

    The process is its first. Raises ConflictError when one of its ports is taken. An ordinary
    user's container leases nothing: it has the host's address.
    """
    if places.ordinary:
        from builder.runtime import userspace

        userspace.attach(places, container, pid)
        return None
    bridge = Bridge(subnet=_subnet(places), avoid=resolvers())
    return bridge.attach(
        _key(places, container.name),
        container.name,
        pid,
        preferred=container.interfaces[0].address,
        ports=container.ports,
    )


def detach(places: Places, name: str) -> None:
    """Take a container off the network; one that is not on it is no error."""
    if places.ordinary:
        from builder.runtime import userspace

        userspace.detach(places, name)
        return
    Bridge().detach(_key(places, name))


def name_servers(places: Places) -> tuple[str, ...]:
    """List what a container is told to ask for names."""
    found = resolvers()
    if places.ordinary and not found:
        from builder.runtime import userspace

        return (userspace.DNS,)
    return found


def resolvers(root: Path = Path("/")) -> tuple[str, ...]:
    """List the host's name servers that a container can reach.

    A stub on the loopback interface is none of them, and neither is one with an IPv6 address;
    what the stub itself asks is looked up instead.
    """
    for name in RESOLV_CONF:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            words = map(str.split, (root / name).read_text(errors="replace").splitlines())
            servers = [line[1] for line in words if len(line) > 1 and line[0] == "nameserver"]
            usable = [s for s in servers if ":" not in s and not s.startswith(("127.", "0."))]
            if usable:
                return tuple(dict.fromkeys(usable))
    return ()


def _key(places: Places, name: str) -> str:
    return str(folder_of(places, name))


def _subnet(places: Places) -> str | None:
    """Read what the settings say of it."""
    found = None
    for path in places.settings:
        with contextlib.suppress(FileNotFoundError, PermissionError):
            data = path.read_bytes()
            # Most hosts have no settings file, and these are slow to import.
            from builder.model import settings
            from builder.model.source import decode_source, source_of_bytes

            source = source_of_bytes(data, path)
            value = decode_source(source, settings.Settings)
            settings.check(value, source)
            found = value.network.subnet or found
    return found
