"""Network links: interfaces, addresses and firewall rules of the host.

Nothing else calls `ip`, `nft` or `tc`. Each is given many commands at once, and those that need
not wait for one another run side by side: most of their time the kernel waits, too.
"""

import contextlib
import fcntl
import socket
import struct
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from builder.host.process.beside import side_by_side
from builder.host.programs import PROMPT, Command, Done, on_host
from builder.model.errors import HostError

_SYSCTL = Path("/proc/sys/net")
_TABLES = Path("/proc/self/net")
_SIOCGIFMTU = 0x8921
_GOING = 0x6F76656E
"""The group that interfaces are put in to be removed together (ip-link(8)): `oven`."""


_USUAL_FLOWS = 1 << 16


class Route(msgspec.Struct, frozen=True):
    """Where the host sends packets for a network."""

    network: str
    """Such as `192.0.2.0/24`, or `default`."""
    interface: str
    direct: bool = False
    """Whether the host itself is in that network."""


class _Route(msgspec.Struct):
    dst: str
    dev: str = ""


def interfaces() -> frozenset[str]:
    """Name the interfaces of this network namespace."""
    return frozenset(name for _, name in socket.if_nameindex())


def routes() -> tuple[Route, ...]:
    """List every IPv4 route, those to the host's own addresses included."""
    output = _ask("ip", "-j", "-4", "route", "show", "table", "all")
    found = msgspec.json.decode(output or b"[]", type=list[_Route])
    return tuple(Route(network=route.dst, interface=route.dev) for route in found)


def connected() -> tuple[Route, ...]:
    """List the IPv4 networks that the host has routes for, the default aside; runs no program.

    Routes of other tables than the main one, as some VPNs have them, are not among them.
    """
    return tuple(route for route in _main_routes() if route.network != "default")


def outer_mtu() -> int:
    """Tell how large packets to the outside may be: less than 1500 in many clouds and VPNs."""
    ways = {route.interface for route in _main_routes() if route.network == "default"}
    with contextlib.suppress(FileNotFoundError):
        for line in (_TABLES / "ipv6_route").read_text(encoding="ascii").splitlines():
            words = line.split()
            if words[1] == "00" and words[9] != "lo":
                ways.add(words[9])
    return min((_mtu(interface) for interface in ways & interfaces()), default=1500)


def _main_routes() -> Iterable[Route]:
    for line in (_TABLES / "route").read_text(encoding="ascii").splitlines()[1:]:
        words = line.split()
        # Numbers are in the order of this machine, as they are in packets (proc_net(5)).
        network, mask = (struct.pack("=I", int(words[index], 16)) for index in (1, 7))
        bits = int.from_bytes(mask, "big").bit_count()
        name = f"{socket.inet_ntoa(network)}/{bits}" if bits else "default"
        yield Route(network=name, interface=words[0], direct=words[2] == "00000000")


def _mtu(interface: str) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        asked = struct.pack("16sI12x", interface.encode(), 0)
        answer: bytes = fcntl.ioctl(probe, _SIOCGIFMTU, asked)
    return int(struct.unpack("16sI12x", answer)[1])


class RulesError(HostError):
    """The kernel did not take rules, or does not have what they are to change."""


class LinkJob(msgspec.Struct, frozen=True):
    """Commands for one program, which it takes all at once."""

    program: str
    command: Command


def ip(commands: Iterable[str], *, inside: int | None = None) -> LinkJob:
    """Have `ip` do these commands, on the host or in the network namespace of a process.

    Only that one namespace is entered: `ip` stays a program of the host, which the guest can
    neither see nor trace.
    """
    enter = () if inside is None else ("nsenter", f"--net=/proc/{inside}/ns/net")
    return LinkJob("ip", _batch(*enter, "ip", "-batch", "-", lines=commands))


def tc(commands: Iterable[str], *, tolerant: bool = False) -> LinkJob:
    """Have `tc` do these commands on the host; `tolerant` where one that fails is no error."""
    if tolerant:
        return LinkJob("", _batch("tc", "-force", "-batch", "-", lines=commands))
    return LinkJob("tc", _batch("tc", "-batch", "-", lines=commands))


def nft(rules: str) -> LinkJob:
    """Have the kernel take all these nftables commands, or none of them."""
    return LinkJob("nft", Command(("nft", "-f", "-"), stdin=rules.encode(), limit=PROMPT))


def removal(names: Iterable[str]) -> LinkJob:
    """Remove interfaces, and the other ends of their cables; one that is gone is no error.

    The kernel waits some 20 ms for each that is removed by itself, and once for a group.
    """
    lines = [f"link set dev {name} group {_GOING}" for name in names]
    lines.append(f"link delete group {_GOING}")
    return LinkJob("", _batch("ip", "-force", "-batch", "-", lines=lines))


def perform(*jobs: LinkJob, meanwhile: Callable[[], None] | None = None) -> None:
    """Do jobs side by side; raises HostError when one fails, after all have ended.

    It is a RulesError only when all but rules went well.
    """
    ended = zip(jobs, side_by_side([job.command for job in jobs], meanwhile), strict=True)
    for job, done in sorted(ended, key=lambda one: one[0].program == "nft"):
        # Without a program nothing was asked for that can fail: the kernel removes a cable by
        # itself, at a time of its choice, when the last process of the container has ended.
        if done.code != 0 and job.program:
            raise _refused(job.program, done)


def configure(commands: Iterable[str], *, inside: int | None = None) -> None:
    """Have `ip` do these commands; raises HostError when it refuses one."""
    perform(ip(commands, inside=inside))


def remove(names: Iterable[str]) -> None:
    """Remove those of these interfaces that are there."""
    if found := sorted(interfaces() & set(names)):
        perform(removal(found))


def apply_rules(rules: str) -> None:
    """Have the kernel take all these nftables commands, or none of them."""
    perform(nft(rules))


def _batch(*argv: str, lines: Iterable[str]) -> Command:
    return Command(argv, stdin=("\n".join(lines) + "\n").encode(), limit=PROMPT)


def filters_bridged_ipv6() -> bool:
    """Tell whether rules see what passes bridges (br_netfilter), as Docker has it."""
    path = _SYSCTL / "bridge/bridge-nf-call-ip6tables"
    return path.exists() and path.read_text(encoding="ascii").strip() == "1"


def most_flows() -> int:
    """Tell how many connections this host can keep track of."""
    try:
        return int((_SYSCTL / "netfilter/nf_conntrack_max").read_text(encoding="ascii"))
    except FileNotFoundError:  # the module comes with the first rule that needs it
        return _USUAL_FLOWS


def has_ipv6() -> bool:
    """Tell whether this host uses IPv6 at all."""
    path = _SYSCTL / "ipv6/conf/all/disable_ipv6"
    return path.exists() and path.read_text(encoding="ascii").strip() == "0"


def check_rules(rules: str) -> None:
    """Have the kernel say whether it would take these nftables commands, changing nothing."""
    done = on_host(Command(("nft", "--check", "-f", "-"), stdin=rules.encode(), limit=PROMPT))
    if done.code != 0:
        raise _refused("nft", done)


def set_sysctl(name: str, value: str) -> None:
    """Set what lies below /proc/sys/net; a kernel that lacks it, as for IPv6, is no error."""
    path = _SYSCTL / name
    with contextlib.suppress(FileNotFoundError):
        if path.read_text(encoding="ascii").strip() == value:
            return
        try:
            path.write_text(value, encoding="ascii")
        except OSError as error:
            raise HostError(
                f"cannot set `{path}` to {value}: {error.strerror}",
                hint="networks for containers need root, and /proc/sys must not be read-only",
            ) from error


def _ask(*argv: str) -> bytes:
    done = on_host(Command(argv, limit=PROMPT))
    if done.code != 0:
        raise _refused(argv[0], done)
    return done.stdout


def _refused(program: str, done: Done) -> HostError:
    """Make the error for what `ip` or `nft` refused."""
    said = done.stderr.decode(errors="replace")
    lines = [line for line in said.splitlines() if line and not line.startswith("Command failed")]
    reason = lines[0] if lines else f"status {done.code}"
    if "not permitted" in said or "Permission denied" in said:
        hint = "networks for containers need root: run the same command with sudo"
    elif program == "nft":
        hint = (
            "the kernel needs nf_tables with nat, connlimit and bridge support;"
            " `oven doctor` checks it"
        )
    elif program == "tc" or "type ifb" in said:
        hint = (
            "to limit rates the kernel needs the modules `sch_tbf`, `sch_ingress`, `cls_u32`,"
            " `act_mirred` and `ifb`"
        )
    elif "Unknown device type" in said or "not supported" in said:
        hint = "the kernel needs the modules `bridge` and `veth`, and `ifb` to limit rates"
    else:
        hint = None
    kind = RulesError if program == "nft" else HostError
    return kind(f"`{program}` cannot set up the network: {reason}", hint=hint)
