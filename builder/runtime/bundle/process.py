"""A process inside of a container: what it is, how the runtime is told, and the way to there."""

import os
import resource
from pathlib import Path

import msgspec

from builder.host.kernel import cgroups, hierarchies, mounts
from builder.host.places import Places
from builder.host.process import caller
from builder.runtime.record import state
from builder.runtime.record.layout import cgroup_of
from builder.runtime.record.state import State

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CAPABILITIES = tuple(
    f"CAP_{name}"
    for name in (
        "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID",
        "SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW",
        "IPC_LOCK", "IPC_OWNER", "SYS_CHROOT", "SYS_PTRACE", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
        "SYS_TTY_CONFIG", "MKNOD", "LEASE", "SETFCAP", "AUDIT_WRITE",
    )
)  # fmt: skip
"""What root inside has over its own namespaces.

None for clocks, modules, raw I/O or the kernel's log, which belong to the whole host. AUDIT_WRITE
lets nobody write: docker and podman inside want to hand it on. The other AUDIT ones are kept away,
as systemd asks of container managers (https://systemd.io/CONTAINER_INTERFACE).
"""


Rlimits = tuple[dict[str, object], ...]
"""As the OCI runtime specification has them."""
_NONE = resource.RLIM_INFINITY
_SOFT = {
    "CPU": _NONE, "FSIZE": _NONE, "DATA": _NONE, "STACK": 8 << 20, "CORE": 0, "RSS": _NONE,
    "NOFILE": caller.FEW_FILES,
    "MEMLOCK": 8 << 20, "AS": _NONE, "MSGQUEUE": 819200, "NICE": 0, "RTPRIO": 0,
    "RTTIME": _NONE,
}  # fmt: skip
"""What the kernel gives the first process of a machine (include/asm-generic/resource.h)."""
_HARD = {"STACK": _NONE, "CORE": _NONE, "NOFILE": 524288}
"""The same, where it is another; systemd raises the number of open files to that."""


class CommandOrder(msgspec.Struct, frozen=True):
    """A command for a container, one that runs or a new one, and how it is run."""

    argv: tuple[str, ...]
    user: str = "root"
    """`NAME`, `UID` or `UID:GID`."""
    cwd: str = "/"
    env: tuple[str, ...] = ()
    """`NAME=value` words."""
    tty: bool = False
    """Whether it gets a terminal of its own, joined to ours."""


class Process(msgspec.Struct, frozen=True):
    """A process inside: what it runs, as whom, where, and whether it has a terminal."""

    argv: tuple[str, ...]
    env: tuple[str, ...] = ()
    """`NAME=value` words."""
    terminal: bool = False
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    cwd: str = "/"


def process_part(process: Process, rlimits: Rlimits) -> dict[str, object]:
    """Make the configuration of one process, as `exec --process` reads it too."""
    return {
        "terminal": process.terminal,
        "user": {
            "uid": process.uid,
            "gid": process.gid,
            "additionalGids": list(process.groups),
        },
        "args": list(process.argv),
        "env": _environment(process.env),
        "cwd": process.cwd,
        "noNewPrivileges": False,
        # Inheritable and ambient ones stay empty: CVE-2022-24769, CVE-2022-29162.
        "capabilities": {
            kind: list(CAPABILITIES) for kind in ("bounding", "effective", "permitted")
        },
        "rlimits": list(rlimits),
    }


def _environment(words: tuple[str, ...]) -> list[str]:
    """Put the words of the caller over the usual ones; a name that comes twice is undefined."""
    usual = {"PATH": PATH, "container": "oven"}
    given = dict(word.partition("=")[::2] for word in words)
    return [f"{name}={value}" for name, value in {**usual, **given}.items()]


def rlimits() -> Rlimits:
    """Give the limits of each process inside, whatever those of this one are (getrlimit(2))."""
    threads = int(Path("/proc/sys/kernel/threads-max").read_text(encoding="ascii")) // 2
    soft = {**_SOFT, "NPROC": threads, "SIGPENDING": threads}
    hard = {**soft, **_HARD}
    numbers: dict[str, int] = {name: getattr(resource, f"RLIMIT_{name}") for name in soft}
    given = caller.hard_limits({numbers[name]: hard[name] for name in soft})
    return tuple(
        {
            "type": f"RLIMIT_{name}",
            "soft": _as_oci(min(one, given[numbers[name]], key=_height)),
            "hard": _as_oci(given[numbers[name]]),
        }
        for name, one in soft.items()
    )


def _height(limit: int) -> float:
    return float("inf") if limit == resource.RLIM_INFINITY else limit


def _as_oci(limit: int) -> int:
    return (1 << 64) - 1 if limit == resource.RLIM_INFINITY else limit


def plain_umask() -> None:
    """Have what containers see and inherit not depend on the umask of who starts them."""
    os.umask(0o022)


def enter_again(places: Places, name: str, current: State) -> None:
    """Move this process into the room of a running container, where its monitor is.

    That is still outside of the container; the runtime takes the last step (CVE-2019-5736).
    """
    cgroups.enter(cgroup_of(places, name))
    try:
        mounts.join_namespace(current.monitor)
    except (FileNotFoundError, ProcessLookupError):
        # Somebody has killed it, and the room went with it, but not the container.
        if not state.alive(current):
            raise
        _enter_bare_room(places)


def _enter_bare_room(places: Places) -> None:
    """Move this process into mounts that the runtime takes for the room: it looks only for these.

    Its helpers start in the folder of the root, and it needs the cgroups as they were shown to it.
    """
    mounts.private_namespace()
    places.point.mkdir(mode=0o711, parents=True, exist_ok=True)
    mounts.mount_tmpfs(places.point, "mode=711")
    places.rootfs.mkdir()
    if hierarchies.layout() is hierarchies.Layout.LEGACY:
        hierarchies.show_legacy_only(places.rootfs)
