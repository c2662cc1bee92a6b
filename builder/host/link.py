"""Network links: interfaces, addresses, firewall rules and who holds a port, on the host.

Nothing else calls `ip`, `nft` or `ss`, and each is given many commands at once.
"""

import contextlib
import errno
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from builder.host.process import Command, Done, on_host
from builder.model.errors import HostError

_SYSCTL = Path("/proc/sys/net")


@dataclass(frozen=True, slots=True)
class Route:
    """Where the host sends packets for a network."""

    network: str
    """Such as `192.0.2.0/24`, or `default`."""
    interface: str


class _Route(msgspec.Struct):
    dst: str
    dev: str = ""


class _Link(msgspec.Struct):
    mtu: int


class _Chain(msgspec.Struct):
    family: str
    table: str
    name: str
    hook: str = ""
    policy: str = ""


class _Ruled(msgspec.Struct):
    chain: _Chain | None = None


class _Ruleset(msgspec.Struct):
    nftables: list[_Ruled]


def interfaces() -> frozenset[str]:
    """Name the interfaces of this network namespace."""
    return frozenset(name for _, name in socket.if_nameindex())


def routes() -> tuple[Route, ...]:
    """List every IPv4 route, those to the host's own addresses included."""
    output = _ask("ip", "-j", "-4", "route", "show", "table", "all")
    found = msgspec.json.decode(output or b"[]", type=list[_Route])
    return tuple(Route(network=route.dst, interface=route.dev) for route in found)


def mtu(interface: str) -> int:
    """Tell how large a packet an interface carries."""
    output = _ask("ip", "-j", "link", "show", "dev", interface)
    return msgspec.json.decode(output, type=list[_Link])[0].mtu


def configure(commands: Iterable[str], *, inside: int | None = None) -> None:
    """Have `ip` do these commands, on the host or in the network namespace of a process.

    Only that one namespace is entered: `ip` stays a program of the host, which the guest can
    neither see nor trace.
    """
    enter = () if inside is None else ("nsenter", f"--net=/proc/{inside}/ns/net")
    batch = "\n".join(commands) + "\n"
    command = Command((*enter, "ip", "-batch", "-"), stdin=batch.encode())
    done = on_host(command)
    if done.code != 0:
        raise _refused("ip", done)


def remove(interface: str) -> None:
    """Remove an interface, and the other end of its cable; one that is gone is no error."""
    if interface not in interfaces():
        return
    done = on_host(Command(("ip", "link", "delete", "dev", interface)))
    # The kernel may have removed it meanwhile, when the last process of the namespace ended.
    if done.code != 0 and interface in interfaces():
        raise _refused("ip", done)


def apply_rules(rules: str) -> None:
    """Have the kernel take all these nftables commands, or none of them."""
    done = on_host(Command(("nft", "-f", "-"), stdin=rules.encode()))
    if done.code != 0:
        raise _refused("nft", done)


def check_rules(rules: str) -> None:
    """Have the kernel say whether it would take these nftables commands, changing nothing."""
    done = on_host(Command(("nft", "--check", "-f", "-"), stdin=rules.encode()))
    if done.code != 0:
        raise _refused("nft", done)


def blocked_by() -> tuple[str, ...]:
    """Name the chains, other than ours, that drop forwarded packets by default."""
    output = _ask("nft", "-j", "list", "chains")
    chains = [ruled.chain for ruled in msgspec.json.decode(output, type=_Ruleset).nftables]
    return tuple(
        f"{chain.family} {chain.table} {chain.name}"
        for chain in chains
        if chain and (chain.hook, chain.policy) == ("forward", "drop") and chain.table != "oven"
    )


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


def port_is_free(protocol: Literal["tcp", "udp"], address: str, port: int) -> bool:
    """Tell whether a program could listen there; an empty address means every one."""
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as probe:
        if protocol == "tcp":
            # Closed connections of a server that has ended do not count; a listener still does.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise HostError(
                f"cannot publish port {port} on `{address or 'every address'}`: {error.strerror}",
                hint="`ip address` lists the addresses of this host",
            ) from error
    return True


def holder_of(protocol: Literal["tcp", "udp"], port: int) -> str:
    """Name the program that listens on a port, as `nginx (pid 42)`, as well as can be known."""
    flags = "-Hlnpt" if protocol == "tcp" else "-Hlnpu"
    with contextlib.suppress(HostError):
        users = on_host(Command(("ss", flags, f"sport = :{port}"))).output.partition('users:(("')[2]
        if users:
            program, _, rest = users.partition('",pid=')
            return f"`{program}` (pid {rest.partition(',')[0]})"
    return "a program of the host"


def _ask(*argv: str) -> bytes:
    done = on_host(Command(argv))
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
        hint = "the kernel needs nf_tables with nat and bridge support; `oven doctor` checks it"
    elif "Unknown device type" in said or "not supported" in said:
        hint = "the kernel needs the modules `bridge` and `veth`; `oven doctor` checks them"
    else:
        hint = None
    return HostError(f"`{program}` cannot set up the network: {reason}", hint=hint)
