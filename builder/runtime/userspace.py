"""The network of an ordinary user's container: pasta hands its packets to the host's sockets."""

import os
import signal
import time
from pathlib import Path

from builder.host import ports, processes, watch
from builder.host.places import Places
from builder.host.process import Command, start_apart
from builder.model.errors import ConflictError, HostError, RecipeError
from builder.model.network import PortMapping
from builder.runtime.container import Container, volatile_of

# Nobody but root can lay a cable to the host. So the guest has one interface, which looks like the
# host's own, with the same address; what it sends, pasta sends in the user's name. The process ends
# with the container, and is found by its file where the command that should have ended it died.

DNS = "169.254.1.1"
"""What the guest asks for names, where the host's own name servers listen on loopback alone."""
_TUN = Path("/dev/net/tun")
_PATIENCE = 10.0
_NET = Path("/proc/net")
_PRIVILEGED = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")


def attach(places: Places, container: Container, pid: int) -> None:
    """Give a container that has been created, and not been started, its `eth0`."""
    check(container)
    folder = volatile_of(places, container.name)
    log = folder / "pasta.log"
    argv = [
        "pasta", "--config-net", "--foreground", "--quiet", "--runas", "0:0",
        "--netns", f"/proc/{pid}/ns/net", "--userns", f"/proc/{pid}/ns/user",
        "--ns-ifname", "eth0", "--dns-forward", DNS, "--pid", str(_pid_file(folder)),
        "--log-file", str(log), "-T", "none", "-U", "none",
        *_ports(container.ports, "tcp", "-t"), *_ports(container.ports, "udp", "-u"),
    ]  # fmt: skip
    with watch.Folder(folder) as changes:
        pasta = start_apart(Command(tuple(argv)))
        deadline = time.monotonic() + _PATIENCE
        while not _pid_file(folder).exists():
            ended = os.waitpid(pasta, os.WNOHANG)[0]
            if ended or time.monotonic() > deadline:
                if not ended:
                    os.kill(pasta, signal.SIGKILL)
                said = log.read_text(errors="replace") if log.exists() else ""
                raise HostError(f"pasta cannot connect the container: {_last(said)}")
            changes.wait(0.2)


def detach(places: Places, name: str) -> None:
    """Take it away again; one that is not there is fine."""
    path = _pid_file(volatile_of(places, name))
    try:
        pid = int(path.read_text(encoding="ascii"))
        # It hides its command line, and is called after its binary, such as `passt.avx2`.
        name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return
    if not name.startswith(("pasta", "passt")):
        return  # the number belongs to somebody else by now
    pidfd = processes.hold(pid, processes.start_time(pid))
    if pidfd is not None:
        processes.send(pidfd, 15)
        processes.wait_end(pidfd, _PATIENCE)
        os.close(pidfd)


def check(container: Container) -> None:
    """Raise what keeps a container from being given the network that its record asks for."""
    first, *others = container.interfaces
    if others or first.address or first.address6 or first.rate:
        raise RecipeError(
            "an ordinary user's container has one network, with the host's address",
            hint="leave addresses, rates and further networks out, or run it as root",
        )
    if not os.access(_TUN, os.R_OK | os.W_OK):
        raise HostError(
            f"`{_TUN}` may not be used, which an ordinary user's networks need",
            hint=f"as root: chmod 0666 {_TUN}; or `--network none`",
        )
    lowest = int(_PRIVILEGED.read_text(encoding="ascii"))
    for mapping in container.ports:
        if mapping.host < lowest:
            raise HostError(
                f"an ordinary user cannot publish port {mapping.host}",
                hint=f"choose one from {lowest} on, or as root:"
                f" sysctl net.ipv4.ip_unprivileged_port_start={mapping.host}",
            )
        address = mapping.address or "0.0.0.0"  # only looked at
        if not ports.is_free(mapping.protocol, address, mapping.host):
            holder = ports.holder_of(mapping.protocol, mapping.host)
            raise ConflictError(
                f"port {mapping.host}/{mapping.protocol} of this host is in use by {holder}",
                hint="publish another one with `-p`",
            )


def await_network(seconds: float = 60.0, tables: Path = _NET) -> bool:
    """Wait until the host has a way out, which pasta asks for, but no longer; tell whether it has.

    A user's systemd begins before the network is up, and cannot wait for network-online.target.
    """
    deadline = time.monotonic() + seconds
    while not (found := _has_way_out(tables)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


def _has_way_out(tables: Path) -> bool:
    """Look for a default route of version 4 or 6 (proc(5), `/proc/net/route`)."""
    for line in _lines(tables / "route"):
        _, destination, *_, mask, _, _, _ = line.split()
        if destination == mask == "0" * 8:
            return True
    # The loopback device always has one here, which refuses.
    return any(
        line.startswith("0" * 32 + " 00 ") and not line.endswith(" lo")
        for line in _lines(tables / "ipv6_route")
    )


def _lines(table: Path) -> list[str]:
    try:
        return [line.strip() for line in table.read_text(encoding="ascii").splitlines()]
    except OSError:
        return []  # a kernel without that version


def _ports(ports: tuple[PortMapping, ...], protocol: str, option: str) -> list[str]:
    """Write what is published as pasta takes it: `[ADDRESS/]HOST:PORT`, or `none`."""
    found = [one for one in ports if one.protocol == protocol]
    if not found:
        return [option, "none"]
    words = [
        f"{one.address}/{one.host}:{one.port}" if one.address else f"{one.host}:{one.port}"
        for one in found
    ]
    return [word for spec in words for word in (option, spec)]


def _pid_file(folder: Path) -> Path:
    return folder / "pasta.pid"


def _last(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it gave no reason"
