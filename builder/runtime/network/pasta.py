"""The network of an ordinary user's container: pasta hands its packets to the host's sockets."""

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from builder.host import pids
from builder.host.kernel import inotify
from builder.host.network import ports
from builder.host.places import Places
from builder.host.programs import (
    PROMPT,
    Command,
    find_program,
    missing_program,
    on_host,
    start_apart,
)
from builder.model.errors import ConflictError, HostError, RecipeError
from builder.model.network import DEFAULT, PortMapping
from builder.runtime.record.container import Container
from builder.runtime.record.layout import volatile_of

# Nobody but root can lay a cable to the host. So the guest has one interface, which looks like the
# host's own, with the same address; what it sends, pasta sends in the user's name. The process ends
# with the container, and is found by its file where the command that should have ended it died.
#
# What listens on the host's loopback alone is meant for the host alone. A pasta would lead there by
# the gateway's address (`--no-map-gw` ends that), and one of before March 2024 also sends on what
# root inside has addressed to 127.0.0.1 or ::1 on its own interface, by a route or as raw frames.
# Such a one hands over to a second one, in a network namespace between both that the guest has no
# power over: the loopback that the guest's packets meet there is empty, and no kernel sends from
# there what is meant for a loopback.

DNS = "169.254.1.1"
"""What the guest asks for names, where the host's own name servers listen on loopback alone."""
_TUN = Path("/dev/net/tun")
_PATIENCE = 10.0
_NET = Path("/proc/net")
_PRIVILEGED = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
_OF_LATER = "--map-host-loopback"
"""An option that only those pastas know which refuse loopback addresses of the guest's."""


def attach(places: Places, container: Container, pid: int) -> None:
    """Give a container that has been created, and not been started, its `eth0`."""
    check_shape(container)
    check_host(container)
    _check_free(container)
    folder = volatile_of(places, container.name)
    alone = _refuses_loopback()
    argv = _in_one(container, pid, folder) if alone else _in_two(container, pid, folder)
    ready = _file(folder, "pid") if alone else _file(folder, "pid", inner=True)
    with inotify.Folder(folder) as changes:
        pasta = start_apart(Command(tuple(argv)))
        deadline = time.monotonic() + _PATIENCE
        while not ready.exists():
            ended = os.waitpid(pasta, os.WNOHANG)[0]
            if ended or time.monotonic() > deadline:
                if not ended:
                    pids.end_all(pasta)
                raise HostError(f"pasta cannot connect the container: {_said(folder)}")
            changes.wait(0.2)
    everyone = [pasta, *pids.below(pasta)]
    _file(folder, "pid").write_text(" ".join(map(str, everyone)), encoding="ascii")


def detach(places: Places, name: str) -> None:
    """Take it away again; one that is not there is fine."""
    try:
        words = _file(volatile_of(places, name), "pid").read_text(encoding="ascii").split()
        found = [int(word) for word in words]
    except (OSError, ValueError):
        return
    inner = [child for pid in found for child in pids.below(pid)]
    for pid in dict.fromkeys([*inner, *reversed(found)]):
        _end(pid)


def _end(pid: int) -> None:
    with pids.hold(pid) as process:
        try:
            # It hides its command line, and is called after its binary, such as `passt.avx2`.
            name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8")
        except OSError:
            return
        # Otherwise the number belongs to somebody else by now.
        if name.startswith(("pasta", "passt")):
            process.send(signal.SIGTERM)
            process.wait(_PATIENCE)


def _in_one(container: Container, pid: int, folder: Path) -> list[str]:
    """Call a pasta that keeps a guest from the host's loopback."""
    return [*_pasta(folder), "--dns-forward", DNS, *_guest(pid), *_published(container.ports)]


def _in_two(container: Container, pid: int, folder: Path) -> list[str]:
    """Call one that does not, from behind another one, which lends it a network namespace."""
    through = [msgspec.structs.replace(one, port=one.host) for one in container.ports]
    onward = [msgspec.structs.replace(one, address="") for one in container.ports]
    return [
        *_pasta(folder), "--dns-forward", DNS, "--netns-only", *_published(through), "--",
        # The first one ignores SIGPIPE, and the second gives up where that is ignored already.
        "env", "--default-signal=PIPE",
        *_pasta(folder, inner=True), *_guest(pid), *_published(dict.fromkeys(onward)),
    ]  # fmt: skip


def _pasta(folder: Path, *, inner: bool = False) -> list[str]:
    return [
        "pasta", "--config-net", "--foreground", "--quiet", "--runas", "0:0", "--no-map-gw",
        "--pid", str(_file(folder, "pid", inner=inner)),
        "--log-file", str(_file(folder, "log", inner=inner)), "-T", "none", "-U", "none",
    ]  # fmt: skip


def _guest(pid: int) -> list[str]:
    spaces = ["--netns", f"/proc/{pid}/ns/net", "--userns", f"/proc/{pid}/ns/user"]
    return [*spaces, "--ns-ifname", "eth0"]


def _published(ports: Iterable[PortMapping]) -> list[str]:
    """Write what is published as pasta takes it: `[ADDRESS/]HOST:PORT`, or `none`."""
    words = []
    for protocol, option in (("tcp", "-t"), ("udp", "-u")):
        found = [
            f"{one.address}/{one.host}:{one.port}" if one.address else f"{one.host}:{one.port}"
            for one in ports
            if one.protocol == protocol
        ]
        words += [word for spec in found or ["none"] for word in (option, spec)]
    return words


def _refuses_loopback() -> bool:
    """Ask pasta by what it can do: not every one knows its version."""
    return _OF_LATER in on_host(Command(("pasta", "--help"), limit=PROMPT)).output


def check_shape(container: Container) -> None:
    """Refuse a network that nobody but root could give."""
    first, *others = container.interfaces
    if others or first.address or first.address6 or first.rate or first.network != DEFAULT:
        raise RecipeError(
            "an ordinary user's container has one network, with the host's address",
            hint="leave addresses, rates and other networks out, or run it as root",
        )


def check_host(container: Container) -> None:
    """Refuse a network that this host does not let its users have."""
    if find_program("pasta") is None:
        raise missing_program("pasta")
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


def _check_free(container: Container) -> None:
    for mapping in container.ports:
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


def _file(folder: Path, suffix: str, *, inner: bool = False) -> Path:
    return folder / f"pasta{'-inner' if inner else ''}.{suffix}"


def _said(folder: Path) -> str:
    """Give the last line of who has given up first, or else of the other."""
    for inner in (True, False):
        log = _file(folder, "log", inner=inner)
        text = log.read_text(errors="replace") if log.exists() else ""
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) > 1:  # the first line tells the version
            return lines[-1].strip()
    return "it gave no reason"
