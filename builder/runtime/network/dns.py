"""Names: one dnsmasq for each network that has members, which knows them and asks for the rest."""

import os
import zlib
from collections.abc import Iterator
from ipaddress import IPv4Network, ip_network
from pathlib import Path

from builder.host.network import ports
from builder.host.process import daemon
from builder.host.programs import find_program, missing_program
from builder.model.errors import HostError
from builder.model.network import NetworkState, Segment

# All of it is a function of the state: a folder with the files of each bridge, a cgroup with its
# process. The process re-reads its files at SIGHUP (dnsmasq(8)); the configuration, which it reads
# once, depends on nothing that changes while the network has members.
#
# How many questions wait for answers is for all members, and each may have the firewall's number of
# them in ten seconds, after which one is given up: some thousands.
#
# It runs on the host, so that it can ask a stub on the host's loopback interface, but as an
# ordinary user, and it listens on the addresses of its bridge alone.

PROGRAM = "dnsmasq"
_PORT = 53

_CONFIGURATION = """\
bind-interfaces
{listen}
no-hosts
addn-hosts={folder}/hosts
servers-file={folder}/local
{upstream}
domain-needed
{reverse}
cache-size=1000
dns-forward-max=10000
pid-file=
log-facility={folder}/log
"""


def is_possible(segment: Segment) -> str | None:
    """Tell why a network that has no members yet cannot have names; None when it can."""
    if find_program(PROGRAM) is None:
        missing = missing_program(PROGRAM)
        return f"{missing.problem}: `{missing.hint}`"
    for gateway in (segment.gateway, segment.gateway6):
        for protocol in ("tcp", "udp"):
            if gateway and not ports.is_free(protocol, gateway, _PORT, there=False):
                return (
                    f"{ports.holder_of(protocol, _PORT)} listens on port {_PORT} of all addresses:"
                    " have it listen on single ones (`bind-interfaces` of dnsmasq)"
                )
    return None


class Names:
    """The name servers of all networks of this host, below a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._starting: list[tuple[Segment, daemon.Starting]] = []
        self._stopping: list[daemon.Stopping] = []

    def follow(self, state: NetworkState, *, anew: bool = False) -> None:
        """Begin to serve every network with members, and no other; `wait` for it.

        The bridges are there. Processes are looked after where something changes, or all `anew`.
        """
        named = [one for one in state.segments if one.named]
        for stale in self._served() - {one.bridge for one in named}:
            self._stop(stale)
        for segment in named:
            changed, known = self._write(segment, state)
            cgroup = _cgroup(self._folder, segment.bridge)
            if not known or ((changed or anew) and not daemon.reload(cgroup)):
                self._start(segment)

    def silent(self, state: NetworkState) -> bool:
        """Tell whether a network has no server that should have one: somebody has killed it."""
        served = (one.bridge for one in state.segments if one.named)
        return not all(daemon.runs(_cgroup(self._folder, bridge)) for bridge in served)

    def wait(self) -> None:
        """Wait until what `follow` began is done; raises HostError when one cannot serve."""
        while self._stopping:
            self._stopping.pop().wait()
        while self._starting:
            segment, starting = self._starting.pop()
            try:
                starting.wait()
            except HostError as error:
                raise HostError(
                    f"`{PROGRAM}` cannot serve names on the network `{segment.name}`:"
                    f" {error.problem}",
                    hint="`ss -lnp sport = :53` shows other servers; without the package"
                    " dnsmasq-base containers are told of the host's servers instead",
                ) from error

    def _served(self) -> set[str]:
        if not self._folder.exists():
            return set()
        return {path.name for path in self._folder.iterdir()}

    def _write(self, segment: Segment, state: NetworkState) -> tuple[bool, bool]:
        """Write its files; tell whether some changed, and whether all had been there before."""
        folder = self._folder / segment.bridge
        known = (folder / "dnsmasq.conf").exists()
        folder.mkdir(parents=True, exist_ok=True)
        members = [lease for lease in state.leases if lease.segment == segment.key]
        own = (f"server=/{lease.name}.{segment.name}/\n" for lease in members)
        hosts = _replace(folder / "hosts", "".join(_hosts(segment, state)))
        changed = _replace(folder / "local", "".join(own)) or hosts
        if not known:
            # It is read by another user, whatever the mask of this one.
            for one in (folder, self._folder, self._folder.parent):
                one.chmod(0o755)
            outer = self._folder.parent.parent
            outer.chmod(outer.stat().st_mode | 0o711)
            _replace(folder / "dnsmasq.conf", _configuration(folder, segment))
        return changed or not known, known

    def _start(self, segment: Segment) -> None:
        program = find_program(PROGRAM)
        if program is None:
            return
        configuration = self._folder / segment.bridge / "dnsmasq.conf"
        argv = (str(program), f"--conf-file={configuration}")
        cgroup = _cgroup(self._folder, segment.bridge)
        self._starting.append((segment, daemon.start(argv, cgroup)))

    def _stop(self, bridge: str) -> None:
        self._stopping.append(daemon.stop(_cgroup(self._folder, bridge)))
        folder = self._folder / bridge
        for path in folder.iterdir():
            path.unlink(missing_ok=True)
        folder.rmdir()
        if not any(self._folder.iterdir()):
            self._folder.rmdir()


def _configuration(folder: Path, segment: Segment) -> str:
    gateways = [one for one in (segment.gateway, segment.gateway6) if one]
    subnets = [one for one in (segment.subnet, segment.subnet6) if one]
    return _CONFIGURATION.format(
        folder=folder,
        listen="\n".join(f"listen-address={one}" for one in gateways),
        # A network without a way out has none for questions either.
        upstream="no-resolv" if segment.internal else "resolv-file=/etc/resolv.conf",
        reverse="\n".join(f"local=/{zone}/" for one in subnets for zone in _reverse(one)),
    )


def _reverse(subnet: str) -> Iterator[str]:
    """Give the zone of the addresses of a network, when it is one, so that nobody else is asked."""
    network = ip_network(subnet)
    step = 8 if isinstance(network, IPv4Network) else 4
    if network.prefixlen % step == 0:
        labels = network.network_address.reverse_pointer.split(".")
        yield ".".join(labels[(network.max_prefixlen - network.prefixlen) // step :])


def _hosts(segment: Segment, state: NetworkState) -> Iterator[str]:
    """Give the lines of hosts(5): the members, and those of networks that a member is also on.

    The latter have only their full names.
    """
    members = {lease.key for lease in state.leases if lease.segment == segment.key}
    beside = {lease.segment for lease in state.leases if lease.key in members}
    called = {one.key: one.name for one in state.segments if one.key in beside}
    for lease in state.leases:
        if lease.segment in called:
            full = f"{lease.name}.{called[lease.segment]}"
            names = f"{full} {lease.name}" if lease.segment == segment.key else full
            yield from (f"{address} {names}\n" for address in lease.addresses)


def _cgroup(folder: Path, bridge: str) -> str:
    """Name the cgroup; names of containers hold no `_`."""
    return f"_names.{bridge}.{zlib.crc32(os.fsencode(folder)):08x}"


def _replace(path: Path, text: str) -> bool:
    """Write a file that ends with the boot, whole; tell whether it says something else now."""
    data = text.encode("ascii")
    if path.exists() and path.read_bytes() == data:
        return False
    draft = path.with_name(f".{path.name}")
    draft.write_bytes(data)
    draft.chmod(0o644)
    draft.rename(path)
    return True
