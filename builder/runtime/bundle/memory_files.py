"""File systems in memory: how large those of a container may become."""

import errno
from functools import partial

import msgspec

from builder.host.kernel import mounts
from builder.host.kernel.visits import visit
from builder.model.errors import ConflictError
from builder.runtime.bundle import lookup
from builder.runtime.record.container import Limits

# What lies in them counts as the container's memory. As large as a machine of that much memory has
# them (systemd's own shares), a full one is ENOSPC for whoever filled it; as large as those of the
# host, it would be the end of the container.

_SHARES = {"shm": 50, "run": 20, "tmp": 50}
"""Percent of all memory."""
_OF_A_USER = 10
"""The same of `/run/user/UID` (logind.conf(5))."""


class Sizes(msgspec.Struct, frozen=True):
    """Sizes as tmpfs(5) reads them: bytes, or percent of the host's memory."""

    shm: str
    run: str
    tmp: str
    user: str
    """That of `/run/user/UID`."""


def sizes(limits: Limits) -> Sizes:
    """Say how large each may become: what was asked for, or its share of the memory limit."""
    asked = {"shm": limits.shm, "run": limits.run, "tmp": limits.tmp}
    words = {
        name: _share(limits, percent) if (wanted := asked[name]) is None else str(wanted)
        for name, percent in _SHARES.items()
    }
    return Sizes(**words, user=_share(limits, _OF_A_USER))


def _share(limits: Limits, percent: int) -> str:
    return f"{percent}%" if limits.memory is None else str(limits.memory * percent // 100)


def resize(name: str, pid: int, limits: Limits) -> None:
    """Give those of a running container, of that first process, the size that they should have.

    ConflictError when one that was asked for holds more. The others stay as they are then, as do
    those of a container that ends meanwhile.
    """
    found = sizes(limits)
    wanted = (("dev/shm", found.shm, limits.shm), ("run", found.run, limits.run),
              ("tmp", found.tmp, limits.tmp))  # fmt: skip
    with lookup.root_of(name, pid) as tree:
        for path, size, asked in wanted:
            try:
                with tree.folder(path) as fd:
                    # With no more power than root in there: what is of the host stays as it is.
                    visit(pid, ("user", "mnt"), partial(_resize, fd, size))
            except OSError as error:
                if asked is not None and error.errno == errno.EINVAL:
                    raise ConflictError(
                        f"`/{path}` in container `{name}` cannot have that size: {error.strerror}",
                        hint="see `df` inside; remove something there, or choose more",
                    ) from error


def _resize(fd: int, size: str) -> bytes:
    mounts.resize_tmpfs(fd, size)
    return b""


def settings(limits: Limits) -> dict[str, bytes]:
    """Give the drop-ins that tell a guest's systemd of those that it mounts itself.

    By their path below `/run/systemd`; none where its own sizes are right.
    """
    if limits.memory is None and limits.tmp is None:
        return {}
    found = sizes(limits)
    options = f"mode=1777,strictatime,nosuid,nodev,size={found.tmp},nr_inodes=1m"
    return {
        "system/tmp.mount.d": f"[Mount]\nOptions={options}\n".encode(),
        "logind.conf.d": f"[Login]\nRuntimeDirectorySize={found.user}\n".encode(),
    }
