"""The switch: the bridges of this host, and the cables from them to running containers."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from builder.host.network import link
from builder.host.programs import aside
from builder.model.errors import HostError
from builder.model.host_access import HostAccess
from builder.model.network import Lease, NetworkState, PortMapping, Segment
from builder.runtime.network import addresses, firewall, rates
from builder.runtime.network.dns import Names
from builder.runtime.network.growth import FIRST, BridgeSpec, NetworkMember, grown
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
            after, leases = grown(state, member, wishes)
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

    def publish(self, key: str, ports: tuple[PortMapping, ...]) -> None:
        """Lead ports of the host to a running container, those and no others, from now on.

        ConflictError when one is taken.
        """
        with self._ledger.locked():
            state = self._ledger.load()
            for lease in state.leases:
                if lease.key == key and lease.device == FIRST:
                    new = msgspec.structs.replace(lease, ports=ports)
                    others = tuple(one for one in state.leases if one is not lease)
                    check_ports(new, msgspec.structs.replace(state, leases=others))
                    after = _exchanged(state, {lease.interface: new})
                    self._ledger.save(after)
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


def _exchanged(state: NetworkState, new: Mapping[str, Lease]) -> NetworkState:
    """Put leases, by their interfaces, in the place of what they were."""
    leases = tuple(new.get(lease.interface, lease) for lease in state.leases)
    return msgspec.structs.replace(state, leases=leases)


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
