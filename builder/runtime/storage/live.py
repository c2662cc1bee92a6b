"""Live copies: folders that a running container writes to, halted only for what changed meanwhile.

First all is copied while the container runs, then what has changed since, again and again as long
as that becomes less; for the rest the container is halted. What has changed is told by `st_ctime`,
which nobody can set. Every pass goes back to a moment at which the container was halted, so that no
write(2) had begun before and ended after it. What is written through memory (mmap(2)) counts as a
change when a page becomes dirty; so all are written out when a pass has begun.
"""

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from builder.host.kernel import cgroups
from builder.host.kernel.filesystems import BTRFS, EXT4, F2FS, XFS, filesystem_type
from builder.host.process import launch
from builder.host.programs import find_program, missing_program
from builder.host.trees import durable
from builder.host.trees.changes import Found
from builder.host.trees.following import Follower
from builder.model.errors import HostError
from builder.runtime.record.layout import UPPER
from builder.runtime.storage import whole
from builder.runtime.storage.change import LayerDraft

_TELLING = frozenset({EXT4, XFS, BTRFS, F2FS})
"""File systems on which every change is seen in `st_ctime`; tmpfs does not tell of mmap(2)."""
_PASSES = 8
_FEW = 200
"""Names that are copied while the container is halted, rather than in one more pass."""
_SET_BACK = 0.01
"""Seconds by which the clock has been set, and not just been read late."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """A moment: what was changed later has no earlier `st_ctime`."""

    changed: int
    """Nanoseconds, as the file system counts them."""
    ahead: float
    """How far the clock was ahead of one that nobody sets."""

    def since(self) -> int:
        """Give what changes are not older than; the beginning of time if the clock was set back."""
        return 0 if _ahead() < self.ahead - _SET_BACK else self.changed


def copy_upper(draft: LayerDraft, target: Path, cgroup: str) -> None:
    """Copy the upper layer of a running container as it is at one moment.

    One that a person has halted stays so.
    """
    copy_folders({target: draft.area / UPPER}, draft.drafts, cgroup)


def copy_folders(sources: Mapping[Path, Path], beside: Path, cgroup: str) -> None:
    """Copy folders that a running container writes to, all as they are at the same moment.

    Each is copied to the new folder that is its key. `beside` is a folder of the same file system,
    which nobody else writes to.
    """
    if cgroups.is_frozen(cgroup):
        _copy_all(sources)
        return
    if not all(_tells(source, beside) for source in sources.values()):
        with _halted(cgroup):
            _copy_all(sources)
        return
    try:
        _follow(sources, beside, cgroup)
    except OSError as error:
        if durable.disk_error(error) is not None:
            raise
        raise HostError(f"cannot copy a layer: {error.strerror}") from error


def _copy_all(sources: Mapping[Path, Path]) -> None:
    for target, source in sources.items():
        whole.copy_tree(source, target)


def _tells(source: Path, beside: Path) -> bool:
    """Tell whether every change is seen, by the same clock as in the folder beside."""
    return filesystem_type(source) in _TELLING and source.stat().st_dev == beside.stat().st_dev


def _follow(sources: Mapping[Path, Path], beside: Path, cgroup: str) -> None:
    with contextlib.ExitStack() as stack:
        followers = {
            source: stack.enter_context(Follower(source, target))
            for target, source in sources.items()
        }
        since, before = None, sys.maxsize
        for _ in range(_PASSES):
            with _halted(cgroup):
                mark = _mark(beside)
            durable.Disk().sync_filesystem(beside)
            count, whole_pass = 0, True
            for follower in followers.values():
                found, complete = follower.look(since.since() if since else None)
                caught, reached = follower.catch_up(found, still=False)
                count += caught
                whole_pass = whole_pass and complete and reached
            # What could not be reached may have changed before; the first pass copies it as new.
            if since is None or whole_pass:
                since = mark
            if count <= _FEW or count > before // 2:
                break
            before = count
        with _halted(cgroup):
            for source, follower in followers.items():
                follower.catch_up(_still(source, since), still=True)


@contextlib.contextmanager
def _halted(cgroup: str) -> Iterator[None]:
    """Halt a container; processes that are halted are in no system call."""
    try:
        cgroups.freeze(cgroup, frozen=True)
        yield
    finally:
        cgroups.freeze(cgroup, frozen=False)


def _mark(beside: Path) -> _Mark:
    path = beside / "moment"
    path.write_bytes(b"")
    changed = path.stat().st_ctime_ns
    path.unlink()
    return _Mark(changed, _ahead())


def _ahead() -> float:
    # Between the two readings others may run: the greatest of some is the nearest.
    return max(time.time() - time.monotonic() for _ in range(5))


def _still(upper: Path, since: _Mark | None) -> list[Found]:
    """List what has changed, of a layer in which nobody changes anything.

    The status of every file is looked at, for which find(1) takes a third of the time that Python
    does; it cannot be told, though, which folder it was in when somebody swaps them.
    """
    # Not older: find says "newer than", and takes parts of a second.
    last = max(since.since() - 1, 0) if since else 0
    moment = f"@{last // 10**9}.{last % 10**9:09}"
    new = "-newerct", moment, "-printf", r"+%y%i %P\0"
    output = _find(upper, (*new, "-o", "-type", "d", "-printf", r"-%y%i %P\0"))
    entries = output.split(b"\0")[:-1]
    return [_entry(entry[1:], changed=entry[:1] == b"+") for entry in entries]


def _entry(told: bytes, *, changed: bool) -> Found:
    inode, _, path = told[1:].partition(b" ")
    return Found(os.fsdecode(path), int(inode), told[:1] == b"d", changed)


def _find(upper: Path, what: tuple[str, ...]) -> bytes:
    """Run find(1), which follows no link; give what it tells."""
    program = find_program("find")
    if program is None:
        raise missing_program("find")
    reading, writing = os.pipe()
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        try:
            argv = (str(program), str(upper), *what)
            streams = (null, writing, null)
            pid = launch.launch(launch.Program(argv, {"LC_ALL": "C"}, streams), _hurry)
        finally:
            os.close(writing)
            os.close(null)
        code, output = launch.capture(pid, reading, sys.maxsize, timeout=1e6)
    finally:
        os.close(reading)
    if code != 0:
        raise HostError(f"cannot list a layer: find ended with {code}", at=upper)
    return output


def _hurry() -> None:
    """Go before others on a busy machine: a container waits for this."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -20)
