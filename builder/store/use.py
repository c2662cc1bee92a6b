"""Who uses the store just now, so that pruning never takes away what a running build needs.

Everything that a build gets from the store it touches when it gets it, and from then on it relies
on it until it ends. So each build holds a *lease*, a locked file that is as old as the build, and
nothing that was touched since the oldest lease began is ever removed. A lease of a process that
died is free.

Between looking at an object's last use and removing it, somebody could begin to use it. Hence the
*gate*: whoever touches passes it together with others, whoever removes passes it alone and looks
once more.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from builder.host.pids import undisturbed
from builder.host.trees.durable import disk_errors, gate, locked

MARGIN = 60
"""Seconds by which a clock may be set back while a build runs, and nothing that it uses goes."""


def prepare(root: Path) -> None:
    """Make what the functions below need."""
    (root / "uses").mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(PermissionError):
        _gate(root).touch(0o600)


def touch(root: Path, path: Path) -> bool:
    """Note that an object was used just now; False when it is not there."""
    with gate(_gate(root)):
        try:
            os.utime(path)
        except FileNotFoundError:
            return False
        except OSError:
            return path.exists()  # somebody else's store, mounted read-only; or the disk is full
    return True


@contextlib.contextmanager
def lease(root: Path) -> Iterator[None]:
    """Keep what is touched from now on from being removed, until the block ends."""
    with contextlib.ExitStack() as stack:
        with disk_errors(root):
            horizon(root)  # what killed builds have left goes now, and not only with a prune
            fd, name = tempfile.mkstemp(prefix="lease-", dir=root / "uses")
            os.close(fd)
            path = Path(name)
            stack.callback(_end, path)
            # Who sweeps may have removed it before it was locked; then this makes it anew.
            stack.enter_context(locked(path))
        yield


def horizon(root: Path) -> float:
    """Give the time (seconds since 1970) before which an object must have been used to be free.

    That is now, or when the oldest lease began; leases that nobody holds are removed.
    """
    now = _now(root)
    begun = [now]
    for path in (root / "uses").glob("lease-*"):
        with contextlib.suppress(FileNotFoundError):
            since = path.stat().st_mtime
            with locked(path, wait=False) as free:
                if free:
                    path.unlink(missing_ok=True)
                else:
                    begun.append(since - MARGIN)
    return min(begun)


def _end(path: Path) -> None:
    # A signal that comes just here would leave the lease until the next build finds it.
    with undisturbed():
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def alone(root: Path) -> Iterator[None]:
    """Have nobody begin to use an object meanwhile; for as short as can be."""
    with gate(_gate(root), alone=True):
        yield


def _now(root: Path) -> float:
    """Ask the clock that the file system stamps files with: it lags a little behind time()."""
    path = _gate(root)
    os.utime(path)
    return path.stat().st_mtime


def _gate(root: Path) -> Path:
    return root / "uses" / "gate"
