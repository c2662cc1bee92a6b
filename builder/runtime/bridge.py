"""The bridge that all containers of this host are on, and what each of them leases."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from builder.host import link
from builder.host.files import locked, replace
from builder.host.processes import boot_id, is_alive, start_time
from builder.model.errors import ConflictError, HostError, RecipeError
from builder.model.network import Lease, NetworkState, PortMapping
from builder.model.value import canonical
from builder.runtime import addresses, firewall
from builder.runtime.firewall import BRIDGE, CABLES

# All names derive from the container's key, and the lease is written before anything is made. So
# whatever a killed command leaves is known by name, and the next `attach` or `detach` of any
# container removes what no lease covers. Every change happens under one lock of the host.

FOLDER = Path("/run/oven/network")
"""Host-wide, so that two OVEN_HOMEs never hand out one address; empty after a boot."""

BRIDGE_MAC = "02:6f:76:65:6e:30"
"""Fixed, or the bridge would take that of the lowest cable and change it while in use."""


@dataclass(frozen=True, slots=True)
class _Request:
    key: str
    name: str
    pid: int
    preferred: str | None
    ports: tuple[PortMapping, ...]


@dataclass(frozen=True, slots=True)
class Bridge:
    """The bridge, and where it is written down who is on it."""

    folder: Path = FOLDER
    subnet: str | None = None
    """What the settings ask for, from the first container on; None takes a free one."""
    avoid: tuple[str, ...] = ()
    """Addresses that the subnet must not hide from containers, such as those of name servers."""

    def attach(
        self,
        key: str,
        name: str,
        pid: int,
        *,
        preferred: str | None,
        ports: tuple[PortMapping, ...],
    ) -> Lease:
        """Give the network namespace of a process, which has none yet, its `eth0`.

        The key is unique on this host, the name is for people. The preferred address is leased
        when it can be. Raises ConflictError when a port is taken.
        """
        with self._locked():
            before = self._load()
            state = _alive(before, without=key)
            intact = state is not None and state == before
            _check_ports(name, ports, state.leases if state else ())
            if state is None:
                _clear_links()
                state = NetworkState(subnet=self.subnet or self._free_subnet(), mtu=_outer_mtu())
            lease = _lease(state, _Request(key, name, pid, preferred, ports))
            after = msgspec.structs.replace(state, leases=(*state.leases, lease))
            self._save(after)
            try:
                _connect(after, lease, intact=intact)
            except BaseException:
                self._settle(_alive(after, without=key))
                raise
        return lease

    def detach(self, key: str) -> None:
        """Take a container off the network and leave no trace of it; idempotent."""
        with self._locked():
            self._settle(_alive(self._load(), without=key))

    def leases(self) -> tuple[Lease, ...]:
        """List what running containers have."""
        if not self.folder.exists():
            return ()
        with self._locked():
            state = _alive(self._load())
        return state.leases if state else ()

    def _settle(self, state: NetworkState | None) -> None:
        """Make the host have what a state says, and nothing else."""
        if state is None:
            link.apply_rules(firewall.REMOVAL)
            _clear_links()
        else:
            _sweep(state.leases)
            link.apply_rules(firewall.ruleset(state.subnet, state.leases))
        self._save(state)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locked(self.folder / "lock"))
            except PermissionError as error:
                raise HostError(
                    "networks for containers need root", hint="run the same command with sudo"
                ) from error
            yield

    def _free_subnet(self) -> str:
        routed = (r.network for r in link.routes() if r.interface != BRIDGE)
        return addresses.free_subnet([*(n for n in routed if n != "default"), *self.avoid])

    @property
    def _file(self) -> Path:
        return self.folder / "state.json"

    def _load(self) -> NetworkState | None:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=NetworkState)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            raise HostError(
                f"the record of the network is damaged: {error}",
                at=self._file,
                hint="stop the containers, remove the file, and start them again",
            ) from error

    def _save(self, state: NetworkState | None) -> None:
        if state is None:
            self._file.unlink(missing_ok=True)
        else:
            replace(self._file, canonical(state))


def _alive(state: NetworkState | None, without: str = "") -> NetworkState | None:
    """Drop the leases of containers that are gone, and one more; None when none is left."""
    if state is None:
        return None
    kept = tuple(
        lease
        for lease in state.leases
        if lease.key != without and lease.boot == boot_id() and is_alive(lease.pid, lease.started)
    )
    return msgspec.structs.replace(state, leases=kept) if kept else None


def _check_ports(name: str, ports: tuple[PortMapping, ...], leases: Iterable[Lease]) -> None:
    """Raise ConflictError when somebody has a port already."""
    for number, mapping in enumerate(ports):
        if any(mapping.collides(other) for other in ports[:number]):
            raise RecipeError(f"port {mapping.host} is published twice for container `{name}`")
    taken = [(mapping, lease) for lease in leases for mapping in lease.ports]
    for mapping in ports:
        for other, lease in taken:
            if mapping.collides(other):
                raise _port_taken(mapping, f"container `{lease.name}`")
        if not link.port_is_free(mapping.protocol, mapping.address, mapping.host):
            raise _port_taken(mapping, link.holder_of(mapping.protocol, mapping.host))


def _port_taken(mapping: PortMapping, holder: str) -> ConflictError:
    return ConflictError(
        f"port {mapping.host}/{mapping.protocol} of this host is in use by {holder}",
        hint=f"publish another one, such as `-p {_another(mapping)}`",
    )


def _another(mapping: PortMapping) -> PortMapping:
    number = mapping.host + 10000 if mapping.host < 50000 else mapping.host - 10000
    return msgspec.structs.replace(mapping, host=number)


def _outer_mtu() -> int:
    """Tell how large packets to the outside may be: less than 1500 in many clouds and VPNs."""
    found = [route.interface for route in link.routes() if route.network == "default"]
    return min((link.mtu(interface) for interface in found if interface), default=1500)


def _lease(state: NetworkState, request: _Request) -> Lease:
    started = start_time(request.pid)
    if not started:
        raise ConflictError(f"container `{request.name}` has ended before it got its network")
    taken = frozenset(lease.address for lease in state.leases)
    place = addresses.place_in(state.subnet, taken, request.key, request.preferred)
    return Lease(
        key=request.key,
        name=request.name,
        address=place.address,
        prefix=place.prefix,
        gateway=place.gateway,
        mac=addresses.mac_of(request.key),
        interface=addresses.cable_of(request.key),
        ports=request.ports,
        pid=request.pid,
        started=started,
        boot=boot_id(),
    )


def _connect(state: NetworkState, lease: Lease, *, intact: bool) -> None:
    """Lay the cable from the bridge to the container, and let its packets through."""
    others = [one for one in state.leases if one.key != lease.key]
    _sweep(others)
    bridged = BRIDGE in link.interfaces()
    if not bridged:
        link.configure([f"link add name {BRIDGE} address {BRIDGE_MAC} mtu {state.mtu} type bridge"])
    _set_bridge_sysctls()
    commands = [
        f"addr replace {lease.gateway}/{lease.prefix} brd + dev {BRIDGE}",
        f"link set dev {BRIDGE} up",
        _cable(lease, state.mtu),
        *_plug_in(lease),
    ]
    if not bridged:
        commands += [command for other in others for command in _plug_in(other)]
    link.configure(commands)
    link.set_sysctl(f"ipv6/conf/{lease.interface}/disable_ipv6", "1")
    link.configure(
        [
            f"addr add {lease.address}/{lease.prefix} brd + dev eth0",
            "link set dev lo up",
            "link set dev eth0 up",
            f"route add default via {lease.gateway}",
        ],
        inside=lease.pid,
    )
    _admit(state, lease, intact=intact and bridged)


def _set_bridge_sysctls() -> None:
    """Set what the kernel forgets with the bridge, and that this host routes, which stays."""
    link.set_sysctl(f"ipv6/conf/{BRIDGE}/accept_ra", "0")
    link.set_sysctl(f"ipv6/conf/{BRIDGE}/disable_ipv6", "1")
    # Lets the host's 127.0.0.1 be the sender of what it asks of published ports.
    link.set_sysctl(f"ipv4/conf/{BRIDGE}/route_localnet", "1")
    link.set_sysctl("ipv4/ip_forward", "1")


def _cable(lease: Lease, mtu: int) -> str:
    """Give the command that makes a cable, its other end in the container from the beginning."""
    inner = f"name eth0 address {lease.mac} mtu {mtu} netns {lease.pid}"
    return f"link add name {lease.interface} mtu {mtu} type veth peer {inner}"


def _plug_in(lease: Lease) -> tuple[str, ...]:
    """Give the commands that connect the host's end of a cable to the bridge."""
    return (
        f"link set dev {lease.interface} master {BRIDGE}",
        # With net.bridge.bridge-nf-call-iptables, a guest that asks for its own published port is
        # turned back on the bridge itself, which by default never returns a packet to its sender.
        f"link set dev {lease.interface} type bridge_slave hairpin on",
        f"link set dev {lease.interface} up",
        # Or the host would talk to the last owner of the address until ARP has given up on it.
        f"neigh replace {lease.address} lladdr {lease.mac} dev {BRIDGE} nud stale",
    )


def _admit(state: NetworkState, lease: Lease, *, intact: bool) -> None:
    """Change the rules; all are replaced where something may be missing or too much."""
    if intact:
        # Refused when somebody flushed all rules of the host, as a reload of nftables does.
        with contextlib.suppress(HostError):
            link.apply_rules(firewall.addition(lease))
            return
    link.apply_rules(firewall.ruleset(state.subnet, state.leases))


def _sweep(leases: Iterable[Lease]) -> None:
    """Remove the cables that no lease covers."""
    for name in link.interfaces() - {lease.interface for lease in leases}:
        if name.startswith(CABLES):
            link.remove(name)


def _clear_links() -> None:
    _sweep(())
    link.remove(BRIDGE)
