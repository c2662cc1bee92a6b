"""A view: layers seen as one tree by this process alone, by a descriptor and not by a path."""

import contextlib
import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from builder.host.kernel import mounts
from builder.host.overlayfs.mount import Overlay, mount_for
from builder.host.trees.treeio import TreeIO
from builder.model.errors import HostError

# The mount is made in a mount namespace of its own, whose only process ends as soon as there is a
# descriptor of the mount. So the mount is in nobody's list and goes when the descriptor is closed,
# however this process ends.

Seen = contextlib.AbstractContextManager[TreeIO]
"""A tree for as long as a block lasts."""


@contextlib.contextmanager
def overlaid(overlay: Overlay, point: Path) -> Iterator[TreeIO]:
    """See layers as one tree with on-disk owners; what is changed lands in the upper one.

    `point` is a folder that may be made, to mount on where nobody sees it. Nobody else may have
    the upper layer mounted meanwhile (overlayfs.rst).
    """
    fd = _mounted(overlay, point)
    try:
        with TreeIO(Path(f"/proc/self/fd/{fd}")) as tree:
            yield tree
    finally:
        os.close(fd)


def _mounted(overlay: Overlay, point: Path) -> int:
    said, tell = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            os.close(said)
            os.write(tell, _mount(overlay, point, parent))
            while os.getppid() == parent:
                signal.pause()
        os._exit(0)
    os.close(tell)
    try:
        with open(said, "rb", buffering=0) as answer:  # noqa: PTH123  # opened by descriptor
            problem = answer.read(4096)
        if problem.startswith(b"[Errno %d]" % errno.ENOSPC):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(overlay.upper))
        if problem != b"ok":
            reason = problem.decode(errors="replace") or "it gave no reason"
            raise HostError(
                f"cannot mount layers as one: {reason}",
                hint="see `dmesg` for the reason; keep containers on ext4, xfs or btrfs",
            )
        there = f"/proc/{child}/root{point}/view"
        return os.open(there, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _mount(overlay: Overlay, point: Path, parent: int) -> bytes:
    """Do it in the child; give what went wrong, or `ok`."""
    try:
        mounts.die_with_parent()
        if os.getppid() != parent:
            os._exit(0)
        point.mkdir(mode=0o711, parents=True, exist_ok=True)
        mounts.private_namespace()
        mounts.mount_tmpfs(point, "mode=700")
        (point / "view").mkdir()
        mount_for(0, overlay, point / "view")
    except OSError as error:
        return str(error).encode(errors="replace")[:4096]
    return b"ok"
