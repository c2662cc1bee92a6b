"""What the configuration of a container takes from this host, gathered."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence

from builder.host.kernel import cgroups, hierarchies
from builder.host.places import Places
from builder.runtime.bundle import devices, lxcfs, memory_files, rootfs
from builder.runtime.bundle.process import rlimits
from builder.runtime.bundle.spec import HostFacts, Shown
from builder.runtime.record.container import Container
from builder.runtime.record.layout import cgroup_of
from builder.runtime.resources import limits

_JOURNAL = b"[Journal]\nSystemMaxFileSize=8M\nRuntimeMaxFileSize=8M\n"
SYSTEMD = "systemd"
"""The part of `/run/host` with settings of a guest's systemd: folders that `/run/systemd` shows."""
_RUN_HOST = ("ro", "nosuid", "noexec", "nodev")


def gather(
    places: Places,
    container: Container,
    *,
    shown: Mapping[str, bytes] | None = None,
    hooks: dict[str, object] | None = None,
    more: tuple[Shown, ...] = (),
) -> HostFacts:
    """Gather it; `shown` are the `settings` of one that boots, which has a `/run/host`.

    `more` is seen inside beside the usual.
    """
    return HostFacts(
        rootfs=str(places.rootfs),
        cgroup=cgroups.path_of(cgroup_of(places, container.name)),
        unified=hierarchies.layout() is hierarchies.Layout.UNIFIED,
        rlimits=rlimits(),
        machine=rootfs.machine(),
        hooks=hooks or {},
        disks=limits.disks_of(places, container),
        devices=tuple(devices.rules(container)),
        shown=(*_shown(places, container, shown), *more),
        processes=limits.usual_processes(),
        socketcall=rootfs.needs_socketcall(places, container),
    )


def settings(container: Container, resolvers: Sequence[str]) -> dict[str, bytes]:
    """Give drop-ins for a guest's systemd, by their folder below `/run/systemd`.

    Any other drop-in of the guest wins over these.
    """
    # With its usual 128 MiB a journal has a hash table that takes 3 MB of memory.
    found = {"journald.conf.d": _JOURNAL, **memory_files.settings(container.limits)}
    for bind in container.binds:
        # It cannot unmount what was there before it, and would call that an error at each stop.
        unit = unit_of(bind.target)
        found[f"system/{unit}.d"] = b"[Unit]\nDefaultDependencies=no\n"
    if resolvers:
        # It makes `/etc/resolv.conf` a link to its own, and asks nobody that it was not told of.
        found["resolved.conf.d"] = f"[Resolve]\nDNS={' '.join(resolvers)}\n".encode()
    return found


def unit_of(mounted: str) -> str:
    """Give the unit that a guest's systemd has for a mount (systemd-escape(1), `--path`)."""
    parts = [part for part in mounted.split("/") if part not in {"", "."}]
    escaped = ["".join(map(_escaped, part)) for part in parts]
    name = "-".join(escaped)
    return (rf"\x2e{name[1:]}" if name.startswith(".") else name) + ".mount"


def _escaped(character: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9:_.]", character):
        return character
    return "".join(rf"\x{byte:02x}" for byte in os.fsencode(character))


def _shown(
    places: Places, container: Container, folders: Mapping[str, bytes] | None
) -> Iterator[Shown]:
    if folders is not None:
        yield Shown(str(places.shared), "/run/host", _RUN_HOST)
        for folder in folders:
            there = str(places.shared / SYSTEMD / folder)
            yield Shown(there, f"/run/systemd/{folder}", _RUN_HOST)
    for path in devices.wanted(container):
        yield Shown(str(devices.source_of(places, path)), path, ("nosuid", "noexec"))
    if container.lxcfs:
        for source, target in lxcfs.shown():
            yield Shown(source, target, ("nosuid", "noexec", "nodev"))
