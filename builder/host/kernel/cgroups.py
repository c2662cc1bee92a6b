"""Cgroups: which kind this host has, and how a container gets, is found in, and loses its own."""

import contextlib
import errno
import os
import select
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from builder.host import pids
from builder.host.kernel import mounts
from builder.host.kernel.hierarchies import (
    ROOT,
    Layout,
    available,
    delegated,
    is_of_user,
    layout,
    limiting,
    whole,
)
from builder.model.errors import HostError

# Every kernel has the version 2 hierarchy, also where the host uses version 1 and does not mount
# it. All membership and killing goes through a descriptor of that hierarchy, which works the same
# on every host. Only limits differ, and those the OCI runtime sets.
#
#   oven/NAME               killed as a whole
#   oven/NAME/guest         what the container sees as its root
#   oven/NAME/guest/.oven   commands of `exec`, on a version 2 host
#   oven/NAME/monitor       conmon, and the runtime while it works

_PARENT = "oven"
_GUEST = "guest"
_OTHERS = ".oven"
_FREEZES = 10
"""Seconds that processes may take to leave the kernel, where they cannot be frozen."""
_LATECOMERS = 100
"""How often a cgroup is emptied again into which a process has come."""
_TAKEN_AWAY = 5.0
"""Seconds in which others may take away what is above a new cgroup; one rmdir(2) can take a while
where they have to wait for a processor."""
_MOST_BELOW = {"cgroup.max.descendants": 4096, "cgroup.max.depth": 32}
"""Cgroups in a container, which has some dozens: each is memory and work of the host's kernel."""
_DELEGATED = ("cgroup.procs", "cgroup.threads", "cgroup.subtree_control")


def path_of(name: str) -> str:
    """Give the path of a container's cgroup, the same in every hierarchy.

    For an ordinary user it is empty where the OCI runtime must not touch any.
    """
    if not is_of_user():
        return f"/{_PARENT}/{name}/{_GUEST}"
    part = delegated() if layout() is Layout.UNIFIED else None
    return f"/{part.relative_to(ROOT)}/{_PARENT}/{name}/{_GUEST}" if part else ""


def controllers() -> frozenset[str]:
    """Name what can be limited through the hierarchies that this host has mounted."""
    if layout() is Layout.UNIFIED:
        part = delegated() if is_of_user() else ROOT
        words = (part / "cgroup.controllers").read_text(encoding="ascii") if part else ""
        return frozenset(words.split())
    return frozenset(word for words in limiting().values() for word in words)


class Accounting(msgspec.Struct, frozen=True):
    """Where the kernel counts and limits what containers use."""

    unified: bool
    folders: Mapping[str, Path]
    """The root of each controller's hierarchy, by the controller's name."""

    def guest(self, controller: str, name: str) -> Path:
        """Give the cgroup that all processes of a container are in, those of `exec` too."""
        return self.folders[controller] / _PARENT / name / _GUEST

    def whole(self, controller: str, name: str) -> Path:
        """Give the cgroup whose siblings are other containers; shares count between siblings."""
        return self.folders[controller] / _PARENT / name


def accounts() -> Accounting:
    """Find the hierarchies that this host has mounted."""
    if layout() is Layout.UNIFIED:
        return Accounting(unified=True, folders=dict.fromkeys(controllers(), _top()))
    found = {word: folder for folder, words in limiting().items() for word in words}
    return Accounting(unified=False, folders=found)


def _top() -> Path:
    """Give the version 2 cgroup that all containers are below, on a host of that version."""
    part = delegated() if is_of_user() else None
    return part or ROOT


def offer(name: str, controller: str) -> None:
    """Have a controller work in a container's cgroup on a version 2 host, before it has a limit.

    The OCI runtime does the same for the cgroup below (cgroup-v2.rst, "Enabling and Disabling").
    """
    make(_top(), f"{_PARENT}/{name}")
    for folder in (_top(), _top() / _PARENT):
        control = folder / "cgroup.subtree_control"
        try:
            control.write_text(f"+{controller}", encoding="ascii")
        except OSError as error:
            raise HostError(
                f"the kernel does not let {controller} be limited: {error.strerror}", at=control
            ) from error


@contextlib.contextmanager
def unified_guests() -> Iterator[Callable[[str, str], bytes]]:
    """Lend a reader of files of containers' version 2 cgroups, which exist on every host.

    It takes the name of a container's cgroup and that of a file; what is not there gives b"".
    """
    if not available():
        yield lambda *_: b""
        return
    with _unified() as root:

        def read(name: str, file: str) -> bytes:
            try:
                return _read(root, f"{_PARENT}/{name}/{_GUEST}/{file}")
            except OSError:  # pressure may be compiled in and switched off: EOPNOTSUPP
                return b""

        yield read


def join(name: str, pid: int) -> None:
    """Put a process where the runtime and its container belong; the kernel takes 10 to 20 ms.

    On a version 1 host the OCI runtime never touches version 2, so the container is made where
    this process is: in `guest`. On a version 2 host the runtime moves the container there itself.
    """
    if not available():
        return
    if layout() is Layout.LEGACY:
        # Made before the runtime does, so that no parallel `remove` takes the parent away.
        for hierarchy in limiting():
            make(hierarchy, f"{_PARENT}/{name}")
    part = "monitor" if layout() is Layout.UNIFIED else "guest"
    with _unified() as root:
        _make(root, f"{_PARENT}/{name}/{part}")
        _write(root, f"{_PARENT}/{name}/{part}/cgroup.procs", str(pid).encode())


def delegate(name: str, owner: int) -> None:
    """Let the root of a container arrange the cgroups that it sees.

    Limits stay the host's: their files keep their owner (cgroup-v2.rst, "Delegation"). One of them
    is how many there may be; version 1 has none.
    """
    if not available():
        return
    folder = f"{_PARENT}/{name}/guest"
    with _unified() as root:
        for leaf, most in _MOST_BELOW.items():
            _write(root, f"{folder}/{leaf}", str(most).encode())
        for path in (folder, *(f"{folder}/{leaf}" for leaf in _DELEGATED)):
            os.chown(path, owner, owner, dir_fd=root, follow_symlinks=False)


def enter(name: str) -> None:
    """Put this process among those of a running container, or make the place for it.

    A version 2 cgroup with controllers for those below, as systemd inside makes, has no processes
    itself (cgroup-v2.rst, "No Internal Process Constraint"), and units have limits of their own.
    Root's OCI runtime moves the process, an ordinary user's leaves it where it cannot.
    """
    if not available():
        return
    part = f"{_PARENT}/{name}/{_GUEST}"
    with _unified() as root:
        if layout() is Layout.UNIFIED:
            part = f"{part}/{_OTHERS}"
            _make(root, part)
            if not is_of_user():
                return
        _write(root, f"{part}/cgroup.procs", b"0")


def place_of_others() -> tuple[str, ...]:
    """Give the options of the OCI runtime's `exec` for the cgroup that `enter` has made."""
    return ("--cgroup", _OTHERS) if layout() is Layout.UNIFIED and available() else ()


def set_apart(name: str, pid: int) -> None:
    """Move the monitor out of what the container sees."""
    if not available():
        return
    with _unified() as root:
        _make(root, f"{_PARENT}/{name}/monitor")
        _write(root, f"{_PARENT}/{name}/monitor/cgroup.procs", str(pid).encode())
    if layout() is Layout.LEGACY:
        # Or a login session or service that started the container would count it as its own.
        systemd, part = ROOT / "systemd", f"{_PARENT}/{name}/monitor"
        with contextlib.suppress(OSError, HostError):
            make(systemd, part)
            (systemd / part / "cgroup.procs").write_text(str(pid), encoding="ascii")


def leave() -> None:
    """Move this process out of a container's cgroups, of which it was a monitor."""
    if not available():
        return
    with _unified() as root:
        _write(root, "cgroup.procs", b"0")
    if layout() is Layout.LEGACY:
        with contextlib.suppress(OSError):
            (ROOT / "systemd/cgroup.procs").write_text("0", encoding="ascii")


def freeze(name: str, *, frozen: bool) -> None:
    """Halt all processes of a container, or let them go on; return when that is so."""
    with _unified() as root:
        folder = f"{_PARENT}/{name}/guest"
        events = os.open(f"{folder}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC, dir_fd=root)
        try:
            _write(root, f"{folder}/cgroup.freeze", b"1" if frozen else b"0")
            poll = select.poll()
            poll.register(events, select.POLLPRI)
            wanted = b"frozen %d" % frozen
            while wanted not in os.pread(events, 4096, 0):
                if not pids.patiently(poll, _FREEZES):
                    raise HostError(
                        f"processes of container `{name}` cannot be frozen",
                        hint="one may hang in the kernel; look for state D in `ps -e -o pid,stat`",
                    )
        finally:
            os.close(events)


def is_frozen(name: str) -> bool:
    """Tell whether somebody has asked for a container to be halted."""
    with _unified() as root, contextlib.suppress(FileNotFoundError):
        return _read(root, f"{_PARENT}/{name}/guest/cgroup.freeze").strip() == b"1"
    return False


def members(name: str) -> list[int]:
    """List the processes of a container, as the host numbers them, those of `guest` first."""
    if not available():
        return []
    found = []
    with _unified() as root:
        for part in ("guest", "monitor"):
            with contextlib.suppress(FileNotFoundError):
                data = _read(root, f"{_PARENT}/{name}/{part}/cgroup.procs")
                found += [int(line) for line in data.split()]
    return found


def everyone(name: str) -> list[int]:
    """List all processes of a container, those in cgroups that it has made for itself too."""
    if not available():
        return []
    found = []
    with _unified() as root:
        top = f"/proc/self/fd/{root}/{_PARENT}/{name}/{_GUEST}"
        for folder, _, _ in os.walk(top):
            with contextlib.suppress(OSError):
                text = Path(folder, "cgroup.procs").read_text(encoding="ascii")
                found += [int(line) for line in text.split()]
    return found


def kill(name: str, timeout: float = 30) -> None:
    """Kill every process of a container and its monitor; return when all are gone."""
    if not available():
        return
    with _unified() as root:
        folder = f"{_PARENT}/{name}"
        try:
            events = os.open(f"{folder}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC, dir_fd=root)
        except FileNotFoundError:
            return
        try:
            if b"populated 1" in os.pread(events, 4096, 0):
                _write(root, f"{folder}/cgroup.kill", b"1")
            poll = select.poll()
            poll.register(events, select.POLLPRI)
            while b"populated 1" in os.pread(events, 4096, 0):
                # The kernel wakes us at each change of the file (cgroup-v2.rst, "cgroup.events").
                if not pids.patiently(poll, timeout):
                    raise HostError(
                        f"processes of container `{name}` survive SIGKILL",
                        hint="one may hang in the kernel; look for state D in `ps -e -o pid,stat`",
                    )
        finally:
            os.close(events)


def remove(name: str) -> None:
    """Remove the cgroups of a container from all hierarchies, once `kill` has emptied them."""
    if not available():
        return
    for _ in range(_LATECOMERS):
        try:
            _remove(name)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
        else:
            return
        # One that is dying with its parent was still on its way in.
        kill(name)
        time.sleep(0.01)
    raise HostError(f"processes keep coming into the cgroup `{_PARENT}/{name}`")


def _remove(name: str) -> None:
    with _unified() as root:
        # Where the host mounts version 2 itself, this is the same one.
        _remove_in(Path(f"/proc/self/fd/{root}"), name)
    if layout() is Layout.LEGACY:
        for hierarchy in limiting():
            _remove_in(hierarchy, name)


@contextlib.contextmanager
def _unified() -> Iterator[int]:
    """Give a descriptor of the root of the version 2 hierarchy, or of the part that is a user's."""
    try:
        root = whole()
        if root is None:
            root = mounts.detached("cgroup2")
    except PermissionError as error:
        part = delegated()
        if part is None:
            raise HostError(
                "an ordinary user's containers have no cgroups of their own here",
                hint="run the same command as root",
            ) from error
        root = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield root
    finally:
        os.close(root)


def make(hierarchy: Path, path: str) -> None:
    """Make a cgroup and those above it, although a parallel `remove` may take one away."""
    root = os.open(hierarchy, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _make(root, path)
    finally:
        os.close(root)


def _make(root: int, path: str) -> None:
    """Make a cgroup and those above it, again when a parallel `remove` takes one away."""
    parts = path.split("/")
    deadline = time.monotonic() + _TAKEN_AWAY
    while time.monotonic() < deadline:
        try:
            for depth in range(1, len(parts) + 1):
                with contextlib.suppress(FileExistsError):
                    os.mkdir("/".join(parts[:depth]), 0o755, dir_fd=root)
        except FileNotFoundError:
            os.sched_yield()
            continue
        return
    raise HostError(f"the cgroup `{path}` disappears as fast as it is made")


def _remove_in(hierarchy: Path, name: str) -> None:
    top = hierarchy / _PARENT / name
    for folder, _, _ in os.walk(top, topdown=False):
        with contextlib.suppress(FileNotFoundError):
            Path(folder).rmdir()
    try:
        (hierarchy / _PARENT).rmdir()
    except OSError as error:
        # In use by other containers, or gone already.
        if error.errno not in {errno.EBUSY, errno.ENOTEMPTY, errno.ENOENT}:
            raise


def _read(root: int, path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=root)
    with open(fd, "rb") as file:  # noqa: PTH123  # opened by descriptor
        return file.read()


def _write(root: int, path: str, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC, dir_fd=root)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)
