"""Images: file systems in files, which hold what a container may write and no more than that."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

from builder.host.kernel import mounts
from builder.host.kernel.mountinfo import mount_table
from builder.host.programs import (
    PROMPT,
    SLOW,
    Command,
    Done,
    find_program,
    missing_program,
    on_host,
)
from builder.model.errors import ConflictError, HostError, Span

# `mount -o loop` has the kernel give back the loop device together with the mount (autoclear). So
# where a mount is private to some processes, nothing is left when they end, however that happens.

Kind = Literal["btrfs", "ext4"]

SMALLEST = 256 << 20
"""Bytes; btrfs changes no size to less than that, and what is not used costs nothing."""

LARGEST = 1 << 60
"""Bytes; what is beyond fits into no file, and most disks take much less."""

_MAGIC: Mapping[Kind, tuple[int, bytes]] = {
    "btrfs": (0x10040, b"_BHRfS_M"),
    "ext4": (0x438, b"\x53\xef"),
}
_MAKE: Mapping[Kind, tuple[str, ...]] = {
    # Mixed groups and one copy of them: small images lose no space to reserves.
    "btrfs": ("mkfs.btrfs", "--quiet", "--mixed", "--data", "single", "--metadata", "single"),
    "ext4": (
        "mkfs.ext4", "-q", "-F", "-m", "0",
        "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0",
    ),
}  # fmt: skip
_OPTIONS: Mapping[Kind, str] = {
    "btrfs": "loop,discard",
    # Whoever goes on writing to what is damaged loses more of it. btrfs does the same by itself.
    "ext4": "loop,discard,errors=remount-ro",
}
"""With `discard`, what is deleted inside is free again on the host's disk."""
_TO_MEND: Mapping[Kind, str] = {
    "btrfs": "`btrfs check {}` says what is wrong",
    "ext4": "`e2fsck -f {}` may repair it",
}


_MENDED = 0b11
"""What e2fsck(8) ends with when all is well, or has been mended."""


class ImageUse(msgspec.Struct, frozen=True):
    """How much of an image is used."""

    used: int
    """Bytes."""
    size: int
    files_used: int
    files: int
    """How many files and folders it can hold; 0 where that is not limited."""


def kind_for(*, files: bool) -> Kind:
    """Choose a kind that this host can make; only ext4 can limit the number of files.

    btrfs grows and shrinks while it is in use; ext4 only grows, and that takes CAP_SYS_RESOURCE.
    """
    if not files and find_program("mkfs.btrfs") and known("btrfs"):
        return "btrfs"
    if find_program("mkfs.ext4") is None:
        raise missing_program("mkfs.ext4")
    return "ext4"


def make(path: Path, size: int, files: int | None = None) -> None:
    """Make an image that takes so many bytes, and so many files; it uses disk as it fills."""
    kind = kind_for(files=files is not None)
    with path.open("xb") as file:
        try:
            file.truncate(size)
        except BaseException:
            path.unlink()
            raise
    count = ("-N", str(files)) if files is not None else ()
    done = on_host(Command((*_MAKE[kind], *count, str(path)), limit=SLOW))
    if done.code != 0:
        path.unlink()
        raise _refused(f"cannot make a file system of {size} bytes", done)


def kind_of(path: Path) -> Kind:
    """Tell what is in an image, by its magic number."""
    with path.open("rb") as file:
        if (kind := _kind_in(file)) is not None:
            return kind
    raise damaged(path, "it begins as no file system does")


def _kind_in(file: BinaryIO) -> Kind | None:
    for kind, (offset, magic) in _MAGIC.items():
        file.seek(offset)
        if file.read(len(magic)) == magic:
            return kind
    return None


def damaged(path: Path, why: str) -> HostError:
    """Make the error for an image in which not all is as it must be."""
    problem = f"the image of a container's disk is damaged: {why}"
    return HostError(problem, at=path, hint=_to_mend(path))


def _to_mend(path: Path) -> str:
    """Say what a person may do; unasked nothing is mended, since that may throw things away."""
    with path.open("rb") as file:
        kind = _kind_in(file) or "ext4"  # of which the program looks for another superblock
    return f"stop the container, save a copy of the image, then {_TO_MEND[kind].format(path)}"


def mount(path: Path, target: Path) -> None:
    """Mount an image, in a mount namespace of this process's own."""
    kind = kind_of(path)
    options = f"{_OPTIONS[kind]},nodev"
    done = on_host(
        Command(("mount", "-t", kind, "-o", options, str(path), str(target)), limit=SLOW)
    )
    if done.code != 0:
        error = _refused("cannot mount the image of a container's disk", done)
        error.at, error.hint = Span(path), f"if it is damaged: {_to_mend(path)}"
        raise error
    try:
        # Else every page would be kept twice, of the image and of its files. Not all disks can.
        on_host(Command(("losetup", "--direct-io=on", _device(target)), limit=PROMPT))
    except BaseException:
        mounts.detach(target)
        raise


def resize(path: Path, target: Path, size: int, *, namespace: int | None = None) -> None:
    """Give an image that is mounted another size, in bytes.

    `namespace` is a process that sees the mount, where this one does not. Raises ConflictError when
    what is in it does not fit.
    """
    kind, old = kind_of(path), path.stat().st_size
    if size < old:
        _shrink(kind, path, target, size, namespace)
    else:
        os.truncate(path, size)  # also when that has been done, and what follows was not
        device = _device(target, namespace)
        _do(namespace, "losetup", "--set-capacity", device)
        words = ("btrfs", "filesystem", "resize", "max", str(target))
        done = _do(namespace, *(words if kind == "btrfs" else ("resize2fs", device)))
        if done.code != 0:
            raise _cannot_grow(done)


def resize_at_rest(path: Path, size: int) -> None:
    """Give an image of ext4 that is not mounted another size; see `resize`."""
    found = on_host(Command(("e2fsck", "-f", "-p", str(path)), limit=SLOW))
    if found.code & ~_MENDED:
        raise damaged(path, "e2fsck finds what it does not mend by itself")
    before = path.stat().st_size
    if size > before:
        os.truncate(path, size)
    done = on_host(Command(("resize2fs", str(path), f"{size >> 10}K"), limit=SLOW))
    if done.code != 0 and size > before:
        os.truncate(path, before)
    if b"larger" in done.stderr or b"not enough" in done.stderr.lower():
        raise _too_small(size)
    if done.code != 0:
        raise _refused("cannot change the size of the disk", done)
    os.truncate(path, size)


def room(mounted: Path) -> ImageUse:
    """Tell how much of a mounted image is used."""
    found = os.statvfs(mounted)
    return ImageUse(
        used=(found.f_blocks - found.f_bfree) * found.f_frsize,
        size=found.f_blocks * found.f_frsize,
        files_used=found.f_files - found.f_ffree,
        files=found.f_files,
    )


def _shrink(kind: Kind, path: Path, target: Path, size: int, namespace: int | None) -> None:
    if kind == "ext4":
        raise ConflictError(
            "a disk whose number of files is limited can only grow while it is in use",
            hint="stop the container first",
        )
    done = _do(namespace, "btrfs", "filesystem", "resize", str(size), str(target))
    if done.code != 0:
        raise _too_small(size)
    os.truncate(path, size)
    _do(namespace, "losetup", "--set-capacity", _device(target, namespace))


def _too_small(size: int) -> ConflictError:
    return ConflictError(
        f"what is on the disk does not fit into {size >> 20} MiB",
        hint="remove files inside first, or choose a larger size",
    )


def _cannot_grow(done: Done) -> HostError:
    if b"Permission denied" in done.output.encode():
        return HostError(
            "this host does not allow to enlarge an ext4 file system that is in use",
            hint="CAP_SYS_RESOURCE is missing: stop the container first",
        )
    return _refused("cannot enlarge the disk", done)


def _do(namespace: int | None, *argv: str) -> Done:
    """Run a program of the host among the mounts that a process sees."""
    enter = () if namespace is None else ("nsenter", f"--mount=/proc/{namespace}/ns/mnt")
    return on_host(Command((*enter, *argv), limit=SLOW))


def _device(target: Path, namespace: int | None = None) -> str:
    """Find the loop device that is mounted on a folder."""
    found = [one.source for one in mount_table(namespace) if one.point == target]
    if not found:
        raise HostError(f"`{target}` is not mounted")
    return found[-1]


def known(kind: Kind) -> bool:
    """Tell whether the kernel has a kind of file system, or a module for it."""
    known = Path("/proc/filesystems").read_text(encoding="ascii").split()
    release = os.uname().release
    return kind in known or Path(f"/lib/modules/{release}/kernel/fs/{kind}").is_dir()


def _refused(problem: str, done: Done) -> HostError:
    return HostError(f"{problem}: {_reason(done)}")


def _reason(done: Done) -> str:
    """Give the last line of what a program said that says something of its own."""
    lines = [line.strip() for line in done.output.splitlines()]
    lines = [line for line in lines if line and not line.startswith("dmesg(1) may have")]
    return lines[-1] if lines else f"status {done.code}"
