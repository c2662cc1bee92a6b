"""Crossings: which mounts of a running container are entered from outside."""

import errno
import os
import stat

from builder.host.kernel.mountinfo import mount_table
from builder.host.kernel.openat2 import NO_CROSSING, NO_MAGICLINKS, openat2

# Root inside mounts what it likes where it likes. Reading /proc/kmsg drains the host's log and
# never ends; FUSE need never answer, and who waits for it cannot be killed: the kernel keeps others
# out of it, but not by way of an overlay on it. So a mount is looked up in the kernel's list, by
# the number that its descriptor has, before anything in it is touched. What the host has mounted
# too was shown on purpose; what lies in memory, or on the container's own root, always answers.

_MEMORY = frozenset({"tmpfs", "ramfs"})
_KERNEL = frozenset({
    "autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts",
    "efivarfs", "fusectl", "mqueue", "nfsd", "nsfs", "proc", "pstore", "rpc_pipefs", "securityfs",
    "selinuxfs", "sysfs", "tracefs",
})  # fmt: skip
"""Files in these are switches and questions, and no files."""
_LINKS = 40
"""Links in a row that the kernel follows too (path_resolution(7))."""
_DEPTH = 400
"""Folders on the way to a file; each takes a descriptor."""
_ITSELF = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class CrossingError(OSError):
    """A path leads into a file system that is not entered."""


class Crossings:
    """The mounts of a running container, as one of its processes sees them."""

    def __init__(self, pid: int, root: int) -> None:
        """`root` is a descriptor of its root folder, which is the host's own work."""
        self._pid, self._root = pid, root

    def step(self, folder: int, name: str) -> int:
        """Open one name in a folder, itself; a mount there is entered only if it answers."""
        try:
            return openat2(folder, name, _ITSELF, NO_CROSSING | NO_MAGICLINKS)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
        fd = os.open(name, _ITSELF, dir_fd=folder)
        try:
            self._check(fd, name)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def resolve(self, path: str, flags: int) -> int:
        """Open a path as openat2(2) does with RESOLVE_IN_ROOT, mount by mount."""
        way = [os.dup(self._root)]
        try:
            self._walk(way, path, follow=not flags & os.O_NOFOLLOW)
            if flags & os.O_DIRECTORY:
                return os.open(".", flags | os.O_CLOEXEC, dir_fd=way[-1])
            return way.pop()
        finally:
            for fd in way:
                os.close(fd)

    def _walk(self, way: list[int], path: str, *, follow: bool) -> None:
        """Go along a path; the last of `way` is where it leads, what is before it lies above."""
        left, links = path.split("/")[::-1], 0
        while left:
            name = left.pop()
            if name in {"", "."}:
                continue
            if name == "..":
                if len(way) > 1:
                    os.close(way.pop())
                continue
            if len(way) > _DEPTH:
                raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path)
            fd = self.step(way[-1], name)
            way.append(fd)
            if not stat.S_ISLNK(os.fstat(fd).st_mode) or not (follow or any(left)):
                continue
            links += 1
            if links > _LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            target = os.readlink("", dir_fd=fd)
            os.close(way.pop())
            if target.startswith("/"):
                while len(way) > 1:
                    os.close(way.pop())
            left += target.split("/")[::-1]

    def _check(self, fd: int, name: str) -> None:
        there = {mount.number: mount for mount in mount_table(self._pid)}
        mount, root = there.get(_mount_of(fd)), there.get(_mount_of(self._root))
        if mount is not None and mount.kind not in _KERNEL:
            known = {one.device for one in mount_table()} | ({root.device} if root else set())
            if mount.kind in _MEMORY or mount.device in known:
                return
        kind = f" of the kind {mount.kind}" if mount is not None else ""
        raise CrossingError(
            errno.EXDEV, f"a file system{kind} that is not entered is mounted there", name
        )


def _mount_of(fd: int) -> int:
    """Give the number of the mount that a descriptor lies on; nothing in it is asked for that."""
    with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as lines:  # noqa: PTH123  # no path of ours
        return next(int(line.split()[1]) for line in lines if line.startswith("mnt_id:"))
