"""Disks: which block devices a folder's bytes come from and go to."""

import os
from functools import cache
from pathlib import Path

import msgspec

from builder.host.kernel.mountinfo import mount_table
from builder.model.errors import HostError

_SYSFS = Path("/sys/dev/block")
_WRITEBACK = {"ext2", "ext4", "btrfs", "xfs", "f2fs"}
"""File systems that tell who made a page dirty (cgroup-v2.rst, "Writeback"); ext3 is one of ext4's
old names and is left out."""


class BlockDevice(msgspec.Struct, frozen=True):
    """A block device that requests can be counted and slowed at."""

    major: int
    minor: int
    writeback: bool
    """Whether its file system tells whose writing it is that is done later."""

    def __str__(self) -> str:
        return f"{self.major}:{self.minor}"


def disk_of(path: Path) -> BlockDevice:
    """Find the whole disk that a file or folder lies on; HostError where there is not just one."""
    status = path.stat()
    kind, source = _mounted(path)
    device = status.st_dev
    if os.major(device) == 0:
        # An anonymous device: a file system without a block device, or with several of them.
        device = _only_device(path, kind, source)
    major, minor = _whole(os.major(device), os.minor(device))
    return BlockDevice(major, minor, kind in _WRITEBACK)


def _mounted(path: Path) -> tuple[str, str]:
    """Give the type and the source of the mount that a path is on."""
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        about = Path(f"/proc/self/fdinfo/{fd}").read_text(encoding="ascii")
    finally:
        os.close(fd)
    number = next(line.split()[1] for line in about.splitlines() if line.startswith("mnt_id:"))
    found = (one for one in mount_table() if one.number == int(number))
    return next(((one.kind, one.source) for one in found), ("", ""))


def _only_device(path: Path, kind: str, source: str) -> int:
    if kind == "btrfs":
        name = Path(source).resolve().name
        for devices in Path("/sys/fs/btrfs").glob(f"*/devices/{name}"):
            if len(list(devices.parent.iterdir())) == 1:
                return Path(source).stat().st_rdev
    raise HostError(
        f"the file system of `{path}` ({kind or 'unknown'}) does not lie on one block device",
        hint="disk traffic can be limited only where it does, as with ext4 or XFS",
    )


def _whole(major: int, minor: int) -> tuple[int, int]:
    """Give the disk of a partition; the kernel limits whole devices only (cgroup-v2.rst, IO)."""
    folder = (_SYSFS / f"{major}:{minor}").resolve()
    if not (folder / "partition").exists():
        return major, minor
    first, second = (folder.parent / "dev").read_text(encoding="ascii").split(":")
    return int(first), int(second)


@cache
def is_lowest(device: str) -> bool:
    """Tell whether a device is not made of others; what goes through those is counted there too."""
    folder = _SYSFS / device
    return not (folder / "loop").exists() and not any((folder / "slaves").glob("*"))
