"""The switch: the bridges of this host, and the cables from them to running containers."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from builder.host.network import link
from builder.host.pids import boot_id, start_time
from builder.host.programs import aside
from builder.model.errors import ConflictError, HostError
from builder.model.host_access import HostAccess
from builder.model.network import Lease, Network, NetworkState, PortMapping, Segment
from builder.runtime.network import addresses, firewall, rates
from builder.runtime.network.dns import Names, is_possible
from builder.runtime.network.leases import Ledger, alive
from builder.runtime.network.ports import check_ports
from builder.runtime.network.veth import (
    inside,
    plug_in,
    prepare_host,
    set_bridge_sysctls,
    to_deafen,
    to_lay,
    to_raise,
)

# All names derive from keys, and leases are written before anything is made. So whatever a killed
# command leaves is known by name, and the next `attach` or `detach` of any container removes what
# no lease covers. Every change happens under one lock of the host.

FOLDER = Path("/run/oven/network")
"""Host-wide, so that two OVEN_HOMEs never hand out one address; empty after a boot."""


_LEAST_MTU = 1280
"""The kernel has no IPv6 on a link with less (RFC 8200, 5)."""


class NetworkMember(msgspec.Struct, frozen=True):
    """A container that is to be on networks, by a process in its network namespace."""

    key: str
    """Unique on this host."""
    name: str
    """For people, and for other containers to find it by."""
    pid: int
    ports: tuple[PortMapping, ...] = ()
    address_key: str = ""
    """What its addresses are made from, where that is not `key`."""


class BridgeSpec(msgspec.Struct, frozen=True):
    """An interface that a container is to have."""

    key: str
    """The network's, unique on this host."""
    network: Network
    address: str | None = None
    address6: str | None = None
    rate: int | None = None
    host: HostAccess | None = None


class Switch:
    """All bridges, and where it is written down who is on them."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._ledger = Ledger(folder)
        self._names = Names(folder / "names")

    def attach(self, member: NetworkMember, wishes: Sequence[BridgeSpec]) -> tuple[Lease, ...]:
        """Give the network namespace of a process, which has none yet, its interfaces.

        Raises ConflictError when a port or an address that was asked for is taken.
        """
        with self._ledger.locked():
            before = self._ledger.load()
            state = alive(before, without=member.key)
            after, leases = _grown(state, member, wishes)
            if member.ports:
                check_ports(leases[0], after)
            self._ledger.save(after)
            try:
                self._connect(after, leases, intact=state == before)
            except BaseException:
                self._settle(alive(after, without=member.key))
                raise
        return leases

    def detach(self, key: str) -> None:
        """Take a container off its networks and leave no trace of it; idempotent."""
        with self._ledger.locked():
            self._detach(key)

    def let_go(self, key: str) -> None:
        """Have it taken off its networks, and do not wait until that is done.

        Whoever changes networks next does.
        """
        with self._ledger.locked() as lock:
            aside(lambda: self._detach(key), holding=lock)

    def admit(self, key: str, host: HostAccess) -> None:
        """Let the members of a network, by its key, reach other things of the host from now on."""
        with self._ledger.locked():
            before = self._ledger.load()
            segments = (
                msgspec.structs.replace(one, host=host) if one.key == key else one
                for one in before.segments
            )
            after = msgspec.structs.replace(before, segments=tuple(segments))
            if after != before:
                self._settle(alive(after))

    def change(self, key: str, wanted: Mapping[str, BridgeSpec]) -> None:
        """Give the interfaces of a running container other rates, and other parts of the host.

        They are found by the keys of their networks; those that it is not on yet are left to its
        next start.
        """
        with self._ledger.locked():
            state = self._ledger.load()
            new = {
                lease.interface: msgspec.structs.replace(
                    lease, rate=wanted[lease.segment].rate, host=wanted[lease.segment].host
                )
                for lease in state.leases
                if lease.key == key and lease.segment in wanted
            }
            # Meters are written down before they are there and until they are gone: one that no
            # lease covers is removed as a stray, and what the guest sends would go nowhere.
            meanwhile = {interface: lease for interface, lease in new.items() if lease.rate}
            self._ledger.save(_exchanged(state, meanwhile))
            # Also where nothing differs: a killed command may have written it down only.
            rates.apply(new.values())
            after = _exchanged(state, new)
            self._ledger.save(after)
            if new:
                link.apply_rules(_rules(after))

    def settle(self) -> None:
        """Have the host as it should be, whoever has changed it meanwhile."""
        with self._ledger.locked():
            state = alive(self._ledger.load())
            self._settle(state)
            self._lay_again(state)
            link.configure(to_deafen(one) for one in state.segments)

    def mend_names(self) -> None:
        """Have every network served; asks for no lock where all are."""
        if not self._names.silent(self.state()):
            return
        with self._ledger.locked():
            self._names.follow(alive(self._ledger.load()), anew=True)
            self._names.wait()

    def state(self) -> NetworkState:
        """Tell what running containers have; asks for no lock, so that it never waits."""
        return alive(self._ledger.load())

    def _connect(self, state: NetworkState, leases: tuple[Lease, ...], *, intact: bool) -> None:
        """Lay the cables from the bridges to a container, and let its packets through."""
        present = link.interfaces()
        keys = {lease.interface for lease in leases}
        others = [one for one in state.leases if one.interface not in keys]
        link.remove(_strays(present, state.segments, others))
        missing = [one for one in state.segments if one.bridge not in present]
        if missing:
            prepare_host(missing)
        cut = {one.key for one in missing}
        again = [one for one in others if one.segment in cut]
        by_key = {one.key: one for one in state.segments}
        link.configure(
            [
                *(line for one in missing for line in to_raise(one)),
                *(to_lay(one, by_key[one.segment]) for one in leases),
                *(line for one in (*leases, *again) for line in plug_in(one, by_key[one.segment])),
            ]
        )
        set_bridge_sysctls(missing)
        for lease in leases:
            link.set_sysctl(f"ipv6/conf/{lease.interface}/disable_ipv6", "1")
        self._names.follow(state, anew=not intact)
        rules = _rules(state)
        if intact:
            rules = firewall.addition(leases, state) if not missing else rules
            rules = _rules(state, first=True) if not others else rules
        enter = link.ip(inside(leases, by_key), inside=leases[0].pid)
        with self._rules_restored(state):
            link.perform(enter, link.nft(rules), meanwhile=self._names.wait)
        if rates.limited(leases):
            rates.apply(leases)

    def _settle(self, state: NetworkState) -> None:
        """Make the host have what a state says, and nothing else."""
        jobs = self._mended(state)
        self._names.follow(state, anew=True)
        link.perform(*jobs, meanwhile=self._names.wait)
        self._ledger.save(state)

    def _detach(self, key: str) -> None:
        before = self._ledger.load()
        going = tuple(lease for lease in before.leases if lease.key == key)
        after = alive(before, without=key)
        others = len(before.leases) - len(going)
        if going and after.segments == before.segments and len(after.leases) == others:
            jobs = [link.removal(_interfaces_of(going)), link.nft(firewall.deletion(going, before))]
        else:
            jobs = self._mended(after)
        self._names.follow(after, anew=after.segments != before.segments)
        with self._rules_restored(after):
            link.perform(*jobs, meanwhile=self._names.wait)
        self._ledger.save(after)

    def _mended(self, state: NetworkState) -> list[link.LinkJob]:
        """Bring back what a state needs; give the jobs that remove the rest and set all rules."""
        present = link.interfaces()
        strays = sorted(_strays(present, state.segments, state.leases))
        self._mend(state, present)
        rules = _rules(state) if state.leases else firewall.REMOVAL
        return [*([link.removal(strays)] if strays else []), link.nft(rules)]

    def _lay_again(self, state: NetworkState) -> None:
        """Lay cables that somebody removed; a container that ends meanwhile needs none."""
        present, by_key = link.interfaces(), {one.key: one for one in state.segments}
        for lease in (one for one in state.leases if one.interface not in present):
            way = by_key[lease.segment]
            try:
                link.configure([to_lay(lease, way), *plug_in(lease, way)])
                link.set_sysctl(f"ipv6/conf/{lease.interface}/disable_ipv6", "1")
                link.perform(link.ip(inside([lease], by_key), inside=lease.pid))
            except HostError:
                if lease in alive(state).leases:
                    raise

    def _mend(self, state: NetworkState, present: frozenset[str]) -> None:
        """Bring back bridges that somebody removed."""
        missing = [one for one in state.segments if one.bridge not in present]
        if not missing:
            return
        prepare_host(missing)
        by_key = {one.key: one for one in missing}
        cut = [one for one in state.leases if one.segment in by_key and one.interface in present]
        link.configure(
            [
                *(line for one in missing for line in to_raise(one)),
                *(line for one in cut for line in plug_in(one, by_key[one.segment])),
            ]
        )
        set_bridge_sysctls(missing)

    @contextlib.contextmanager
    def _rules_restored(self, state: NetworkState) -> Iterator[None]:
        """Replace all rules where a change of some is refused.

        That is so when somebody flushed all rules of the host, as a reload of nftables does, or
        when a killed command has left some.
        """
        try:
            yield
        except link.RulesError:
            link.apply_rules(_rules(state))


def _rules(state: NetworkState, *, first: bool = False) -> str:
    make = firewall.first_ruleset if first else firewall.ruleset
    host = firewall.FirewallHost(loopback6=not link.filters_bridged_ipv6(), flows=link.most_flows())
    return make(state, host)


def _grown(
    state: NetworkState, member: NetworkMember, wishes: Sequence[BridgeSpec]
) -> tuple[NetworkState, tuple[Lease, ...]]:
    """Add a member, and the networks that it is the first on."""
    started = start_time(member.pid)
    if not started:
        raise ConflictError(f"container `{member.name}` has ended before it got its network")
    segments = list(state.segments)
    leases: list[Lease] = []
    for index, wish in enumerate(wishes):
        segment = state.segment(wish.key)
        if segment is None:
            segment = begin(wish, segments)
            segments.append(segment)
        there = (*state.leases, *leases)
        key = _numbered(member.key, index)
        seed = _numbered(member.address_key or member.key, index)
        given = _addresses(segment, wish, there, seed)
        leases.append(
            Lease(
                key=member.key,
                name=member.name,
                segment=segment.key,
                device=f"eth{index}",
                address=given[0],
                address6=given[1],
                mac=_mac(seed, there),
                interface=addresses.cable_of(key),
                rate=wish.rate,
                host=wish.host,
                ports=member.ports if index == 0 else (),
                pid=member.pid,
                started=started,
                boot=boot_id(),
            )
        )
    return NetworkState(segments=tuple(segments), leases=(*state.leases, *leases)), tuple(leases)


def _numbered(key: str, index: int) -> str:
    return key if index == 0 else f"{key} {index}"


def _mac(seed: str, leases: Iterable[Lease]) -> str:
    """Give a hardware address that nobody has: one that was renamed keeps that of its old name."""
    taken = {lease.mac for lease in leases}
    while (mac := addresses.mac_of(seed)) in taken:
        seed += "'"
    return mac


def _exchanged(state: NetworkState, new: Mapping[str, Lease]) -> NetworkState:
    """Put leases, by their interfaces, in the place of what they were."""
    leases = tuple(new.get(lease.interface, lease) for lease in state.leases)
    return msgspec.structs.replace(state, leases=leases)


def begin(wish: BridgeSpec, others: Sequence[Segment] = ()) -> Segment:
    """Say how a network that has no member will be; the others are there already."""
    network = wish.network
    subnet6 = network.subnet6
    if subnet6 and not link.has_ipv6():
        if not network.chosen6:
            raise HostError(
                f"the network `{network.name}` needs IPv6, which this host has switched off",
                hint="`sysctl net.ipv6.conf.all.disable_ipv6` must be 0",
            )
        subnet6 = None
    if not network.subnet and not subnet6:
        raise HostError(f"the network `{network.name}` needs IPv6, which this host lacks")
    for other in others:
        for subnet in filter(None, (network.subnet, subnet6)):
            if addresses.overlaps(subnet, filter(None, (other.subnet, other.subnet6))):
                raise ConflictError(
                    f"the networks `{network.name}` and `{other.name}` both have `{subnet}`",
                    hint="make one of them with another `--subnet`",
                )
    segment = Segment(
        key=wish.key,
        name=network.name,
        bridge=addresses.bridge_of(wish.key),
        subnet=network.subnet,
        subnet6=subnet6,
        gateway=addresses.gateway_of(network.subnet),
        gateway6=addresses.gateway_of(subnet6),
        nat=network.nat,
        internal=network.internal,
        host=network.host,
        mtu=max(link.outer_mtu(), _LEAST_MTU),
    )
    return msgspec.structs.replace(segment, named=is_possible(segment) is None)


def _addresses(
    segment: Segment, wish: BridgeSpec, leases: Iterable[Lease], key: str
) -> tuple[str | None, str | None]:
    """Choose the addresses of an interface, IPv4 and IPv6."""
    taken = {one for lease in leases for one in lease.addresses}
    found: list[str | None] = []
    for subnet, asked, version in (
        (segment.subnet, wish.address, 4),
        (segment.subnet6, wish.address6, 6),
    ):
        if asked and not subnet:
            raise HostError(
                f"the network `{segment.name}` has no IPv{version} here,"
                f" so there is no address {asked}"
            )
        found.append(addresses.address_in(subnet, taken, key, asked) if subnet else None)
    return found[0], found[1]


def _strays(
    present: Iterable[str], segments: Iterable[Segment], leases: Iterable[Lease]
) -> set[str]:
    """Name the interfaces of ours that nobody needs."""
    needed = {one.bridge for one in segments} | set(_interfaces_of(leases))
    return {name for name in present if name.startswith(addresses.OURS)} - needed


def _interfaces_of(leases: Iterable[Lease]) -> list[str]:
    """Name the host's interfaces that belong to leases."""
    found = []
    for lease in leases:
        found.append(lease.interface)
        if lease.rate:
            found.append(addresses.meter_of(lease.interface))
    return found
