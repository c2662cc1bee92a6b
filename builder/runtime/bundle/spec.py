"""The OCI configuration of a container: a value in, the content of `config.json` out."""

from collections.abc import Iterator

import msgspec

from builder.host.kernel.block_devices import BlockDevice
from builder.runtime.bundle.memory_files import sizes
from builder.runtime.bundle.process import Process, Rlimits, process_part
from builder.runtime.bundle.seccomp import profile
from builder.runtime.record import inits
from builder.runtime.record.container import IDS, Container, Limits
from builder.runtime.resources.limits import PERIOD

# Every namespace is new. Mounts come in this order. Reasons for the single options are in https://systemd.io/CONTAINER_INTERFACE.

NESTING = "/dev/.oven"
"""Where a container with that feature has a `/proc` and a `/sys` that nothing covers."""
_NAMESPACES = ("pid", "network", "ipc", "uts", "mount", "cgroup", "user")
_MASKED = (
    "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
    "/proc/sched_debug", "/proc/scsi", "/proc/sysrq-trigger", "/sys/firmware",
    "/sys/devices/virtual/powercap",
)  # fmt: skip
_READ_ONLY = ("/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq")


class Shown(msgspec.Struct, frozen=True):
    """A folder or file of the host that is seen inside."""

    source: str
    target: str
    options: tuple[str, ...]


class HostFacts(msgspec.Struct, frozen=True):
    """What a configuration takes from the host."""

    rootfs: str
    """Where the root is mounted."""
    cgroup: str
    """The path of the container's cgroup."""
    unified: bool
    """Whether the host itself uses version 2 cgroups."""
    rlimits: Rlimits
    """Limits of each process."""
    machine: str
    """As uname(2) names it."""
    hooks: dict[str, object] = {}
    disks: tuple[BlockDevice, ...] = ()
    """Where disk traffic is limited; empty when it is not."""
    devices: tuple[dict[str, object], ...] = ()
    """Rules that allow devices."""
    shown: tuple[Shown, ...] = ()
    """In this order: `/run/host` lies in `/run`."""
    processes: int | None = None
    """How many it may have where no number was asked for; None where nobody can limit them."""
    socketcall: bool = False
    """Whether its programs need that call to make sockets."""


def configuration(container: Container, process: Process, host: HostFacts) -> dict[str, object]:
    """Make the whole configuration of a container that begins with `process`."""
    ids = _id_map(container)
    result: dict[str, object] = {
        "ociVersion": "1.0.2",
        "process": process_part(process, host.rlimits),
        "root": {"path": host.rootfs, "readonly": False},
        "hostname": container.hostname,
        "mounts": _mounts(container, host),
        "linux": {
            "namespaces": [{"type": kind} for kind in _NAMESPACES],
            "uidMappings": ids,
            "gidMappings": ids,
            "cgroupsPath": host.cgroup,
            "resources": _resources(container.limits, host),
            "rootfsPropagation": "private",
            "sysctl": {"net.ipv4.ping_group_range": "0 65535"},
            "seccomp": profile(host.machine, socketcall=host.socketcall),
            "maskedPaths": list(_MASKED),
            "readonlyPaths": list(_READ_ONLY),
        },
    }
    if host.hooks:
        result["hooks"] = host.hooks
    return result


def _id_map(container: Container) -> list[dict[str, int]]:
    if container.first_id:
        return [{"containerID": 0, "hostID": container.first_id, "size": container.ids}]
    # An ordinary user's: what is mapped in one piece must lie in one piece outside, and root there
    # is the user, all others are subordinate ids (user_namespaces(7)).
    return [
        {"containerID": 0, "hostID": 0, "size": 1},
        {"containerID": 1, "hostID": 1, "size": IDS - 1},
    ]


def init_environment(container: Container) -> tuple[str, ...]:
    """Give what an init learns of where it runs."""
    return (
        "TERM=linux",
        f"container={inits.manner(container.init).manager}",
        f"container_uuid={container.uuid}",
        "NOTIFY_SOCKET=/run/host/notify",
        "CREDENTIALS_DIRECTORY=/run/host/credentials",
    )


def _mounts(container: Container, host: HostFacts) -> list[dict[str, object]]:
    quiet, memory = ("nosuid", "noexec", "nodev"), sizes(container.limits)
    # On a version 1 host the runtime would build version 1 mounts for `cgroup`; `cgroup2` it does
    # not know and hands to the kernel, which lets the container's root mount its own subtree.
    cgroup = "cgroup" if host.unified else "cgroup2"
    return [
        _mount("/proc", "proc", *quiet),
        _mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=4m"),
        *(_uncovered(*quiet) if "nesting" in container.features else ()),
        # Read-only tells systemd that there is no udev here.
        _mount("/sys", "sysfs", *quiet, "ro"),
        _mount("/sys/fs/cgroup", cgroup, *quiet, "relatime", "rw"),
        _mount(
            "/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666",
            "mode=0620", "gid=5",
        ),
        _mount("/dev/shm", "tmpfs", "nosuid", "nodev", "mode=1777", f"size={memory.shm}"),
        _mount("/dev/mqueue", "mqueue", *quiet),
        _mount("/run", "tmpfs", "nosuid", "nodev", "mode=755", f"size={memory.run}"),
        *(_shown(one) for one in host.shown),
    ]  # fmt: skip


def _uncovered(*options: str) -> Iterator[dict[str, object]]:
    """Give a `/proc` and a `/sys` with nothing over them, without which none can be mounted inside.

    See mount_too_revealing in the kernel's fs/namespace.c. That of `/sys` comes first,
    or the real one would have the whole file system read-only.
    """
    yield _mount(f"{NESTING}/proc", "proc", *options)
    yield _mount(f"{NESTING}/sys", "sysfs", *options)


def _shown(one: Shown) -> dict[str, object]:
    options = ["bind", *one.options]
    return {"destination": one.target, "type": "bind", "source": one.source, "options": options}


def _mount(target: str, kind: str, *options: str) -> dict[str, object]:
    return {"destination": target, "type": kind, "source": kind, "options": list(options)}


def _resources(limits: Limits, host: HostFacts) -> dict[str, object]:
    """Say what it may use at most; `limits.py` has the weight, and changes any of this later."""
    result: dict[str, object] = {}
    if limits.memory is not None:
        memory = {"limit": limits.memory}
        if limits.swap is not None and not host.unified:
            memory["swap"] = limits.memory + limits.swap  # OCI has the sum there
        result["memory"] = memory
    if limits.swap is not None and host.unified:
        result["unified"] = {"memory.swap.max": str(limits.swap)}
    processes = limits.pids or host.processes
    if processes is not None:
        result["pids"] = {"limit": processes}
    if limits.cpus is not None:
        result["cpu"] = {"quota": round(limits.cpus * PERIOD), "period": PERIOD}
    if host.devices:
        result["devices"] = list(host.devices)
    if rates := _rates(limits, host.disks):
        result["blockIO"] = rates
    return result


def _rates(limits: Limits, disks: tuple[BlockDevice, ...]) -> dict[str, object]:
    rates = {
        "throttleReadBpsDevice": limits.read_bytes,
        "throttleWriteBpsDevice": limits.write_bytes,
        "throttleReadIOPSDevice": limits.read_operations,
        "throttleWriteIOPSDevice": limits.write_operations,
    }
    return {
        key: [{"major": disk.major, "minor": disk.minor, "rate": rate} for disk in disks]
        for key, rate in rates.items()
        if rate is not None
    }
