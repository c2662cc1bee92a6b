"""What the configuration of a container takes from this host, gathered."""

from collections.abc import Iterator

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
    shared: bool = False,
    hooks: dict[str, object] | None = None,
) -> HostFacts:
    """Gather it; `shared` says that there is a `/run/host`, of one that boots."""
    return HostFacts(
        rootfs=str(places.rootfs),
        cgroup=cgroups.path_of(cgroup_of(places, container.name)),
        unified=hierarchies.layout() is hierarchies.Layout.UNIFIED,
        rlimits=rlimits(),
        machine=rootfs.machine(),
        hooks=hooks or {},
        disks=limits.disks_of(places, container),
        devices=tuple(devices.rules(container)),
        shown=tuple(_shown(places, container, shared=shared)),
        processes=limits.usual_processes(),
        socketcall=rootfs.needs_socketcall(places, container),
    )


def settings(container: Container) -> dict[str, bytes]:
    """Give drop-ins for a guest's systemd, by their folder below `/run/systemd`.

    Any other drop-in of the guest wins over these.
    """
    # With its usual 128 MiB a journal has a hash table that takes 3 MB of memory.
    return {"journald.conf.d": _JOURNAL, **memory_files.settings(container.limits)}


def _shown(places: Places, container: Container, *, shared: bool) -> Iterator[Shown]:
    if shared:
        yield Shown(str(places.shared), "/run/host", _RUN_HOST)
        for folder in settings(container):
            there = str(places.shared / SYSTEMD / folder)
            yield Shown(there, f"/run/systemd/{folder}", _RUN_HOST)
    for path in devices.wanted(container):
        yield Shown(str(devices.source_of(places, path)), path, ("nosuid", "noexec"))
    if container.lxcfs:
        for source, target in lxcfs.shown():
            yield Shown(source, target, ("nosuid", "noexec", "nodev"))
