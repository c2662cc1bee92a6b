"""A container's own memory, processors and uptime in `/proc`, by lxcfs where the host runs it."""

from collections.abc import Iterator
from pathlib import Path

from builder.host.kernel.mountinfo import mount_table

# lxcfs(1) finds out which cgroup a reader is in, and shows what that may use. Without it programs
# that choose their size by what the machine has choose by the host.

ROOT = Path("/var/lib/lxcfs")
_FILES = ("cpuinfo", "diskstats", "loadavg", "meminfo", "stat", "swaps", "uptime")
_CPUS = "sys/devices/system/cpu"


def shown() -> Iterator[tuple[str, str]]:
    """Give what lies over a file or folder inside: its source and its target; nothing without."""
    if not is_there():
        return
    for name in _FILES:
        if (ROOT / "proc" / name).exists():
            yield str(ROOT / "proc" / name), f"/proc/{name}"
    if (ROOT / _CPUS).is_dir():
        yield str(ROOT / _CPUS), f"/{_CPUS}"


def is_there() -> bool:
    """Tell whether lxcfs is mounted; a file system that hangs is not asked."""
    return any(one.point == ROOT for one in mount_table())
