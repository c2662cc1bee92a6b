"""Other processes: found again without mistaking a recycled pid, signalled, and waited for."""

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Self

from builder.host.heard import heard
from builder.model.visible import visible

UNDISTURBED = 2.0
"""Seconds that something short may take, during which it is not cut in two."""
FOREVER = 1e6
"""Seconds; poll(2) cannot be told of many more."""
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@cache
def boot_id() -> str:
    """Give the name of this boot of the host; what was running in another one is not any more."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def start_time(pid: int) -> int:
    """Give when a process started, in clock ticks since boot; 0 when there is none."""
    return _kind_and_start(pid)[1]


class HeldProcess:
    """A process that is held, so that nothing meant for it reaches whoever has its pid later.

    One that has ended is gone: it takes no signal, and waiting for its end takes no time. Use it in
    a `with` block.
    """

    def __init__(self, fd: int | None) -> None:
        """Take a descriptor of it (pidfd_open(2)); None for one that was gone before."""
        self._fd = fd

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of it; then it is as if gone."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            os.close(fd)

    def fileno(self) -> int:
        """Give what poll(2) finds readable once it has ended."""
        if self._fd is None:
            raise ProcessLookupError
        return self._fd

    @property
    def gone(self) -> bool:
        """Whether it has ended."""
        return self.wait(0)

    def send(self, number: int) -> None:
        """Send it a signal."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.fileno(), number)

    def wait(self, timeout: float) -> bool:
        """Wait until it has ended; False when it has not after `timeout` seconds."""
        if self._fd is None:
            return True
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return bool(patiently(poll, max(timeout, 0)))


NOBODY = HeldProcess(None)
"""A process that is gone."""


def hold(pid: int, started: int | None = None) -> HeldProcess:
    """Hold the process that has that pid now, if it is the one that started then."""
    if pid <= 0:
        return NOBODY
    try:
        held = HeldProcess(os.pidfd_open(pid))
    except ProcessLookupError:
        return NOBODY
    if held.gone or (started is not None and start_time(pid) != started):
        held.close()
    return held


def send_below(pid: int, number: int) -> list[tuple[int, int]]:
    """Send a signal to what a process has started, and to those in turn; give what `hold` takes."""
    found = below(pid)
    known = {pid, *found}
    told = []
    for one in found:  # one at a time: there may be more than files can be open
        with hold(one) as process:
            # Its pid may have become somebody else's before it was held.
            if _parent(one) in known:
                process.send(number)
                told.append((one, start_time(one)))
    return told


def end_all(pid: int) -> None:
    """Kill a process of ours, and all that it has started."""
    with hold(pid) as process:
        send_below(pid, signal.SIGKILL)
        process.send(signal.SIGKILL)


def has_open(pid: int, path: str) -> bool:
    """Tell whether a process has a file open that it sees by that path.

    What its descriptors are said to lead to is read, and never followed: that need not answer.
    """
    try:
        return any(_leads_to(one, path) for one in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False  # it has ended


def _leads_to(link: Path, path: str) -> bool:
    try:
        return str(link.readlink()) == path
    except OSError:
        return False  # it was closed


def program_of(pid: int) -> str:
    """Give what a process calls its program; nothing when it has ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def is_alive(pid: int, started: int) -> bool:
    """Tell whether the process of that pid and start time still runs."""
    kind, start = _kind_and_start(pid) if pid > 0 else (b"X", 0)
    if start != started:
        return False
    if kind not in b"ZX":
        return True
    # Its first thread has ended, and only the kernel knows whether there is another.
    with hold(pid, started) as process:
        return not process.gone


def wait_readable(fd: int, pid: int, timeout: float) -> bool | None:
    """Wait until there is something to read; False when the child ends before, None when late."""
    with hold(pid) as process:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        over = process.gone
        if not over:
            poll.register(process, select.POLLIN)
        found = patiently(poll, 0 if over else timeout)
        return fd in dict(found) if found or over else None


def patiently(poll: select.poll, timeout: float) -> list[tuple[int, int]]:
    """Wait for what was registered; after a while also those signals end it that are held back."""
    found = poll.poll(min(timeout, UNDISTURBED) * 1000)
    if found or timeout <= UNDISTURBED:
        return found
    with disturbed():
        return poll.poll((timeout - UNDISTURBED) * 1000)


def catches(pid: int, number: int) -> bool:
    """Tell whether a process handles or ignores a signal instead of dying of it."""
    bit = 1 << (number - 1)
    status = _status(pid)
    if not status:
        return True  # it has ended, and dies of nothing more
    return any(int(status[field], 16) & bit for field in ("SigCgt", "SigIgn"))


def depth_and_inner_pid(pid: int) -> tuple[int, int]:
    """Tell in how many nested PID namespaces a process is, and its pid in the innermost."""
    pids = _status(pid).get("NSpid", "").split()
    return (len(pids), int(pids[-1])) if pids else (0, 0)


def children(pid: int) -> list[int]:
    """List what a process has started itself, or was given (proc_pid_task_tid_children(5))."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, path.read_text(encoding="ascii").split())
    return found


def reap_adopted() -> None:
    """Reap what has lived in containers and is a child of ours by now (`adopting`).

    Until somebody does, the container's init cannot end (pid_namespaces(7)), and the first process
    of a host may take its time.
    """
    here = depth_and_inner_pid(os.getpid())[0]
    for pid in children(os.getpid()):
        if depth_and_inner_pid(pid)[0] > here:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def below(pid: int) -> list[int]:
    """List what a process has started, and those in turn, however deep."""
    found: dict[int, None] = {}
    left = children(pid)
    while left:
        child = left.pop()
        if child not in found:
            found[child] = None
            left += children(child)
    return list(found)


def words(pid: int) -> list[str]:
    """Give the command line of a process; nothing when it has ended."""
    try:
        data = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return data.decode(errors="replace").rstrip("\0").split("\0")


def takes(pid: int, number: int) -> bool:
    """Tell whether a process may do something of its own at a signal, be it by waiting for it."""
    bit = 1 << (number - 1)
    status = _status(pid)
    if any(int(status.get(field, "0"), 16) & bit for field in ("SigCgt", "SigBlk")):
        return True
    # What sigtimedwait(2) waits for does not count as held back meanwhile.
    try:
        place = Path(f"/proc/{pid}/wchan").read_text(encoding="ascii")
    except OSError:
        return True
    return place in {"", "0"} or "sigtimedwait" in place


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Hold back Ctrl-C and its kin until something short that must not be cut in two is done.

    What waits for others in there does so `patiently`, so that it can be ended all the same.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def disturbed() -> Iterator[None]:
    """Take Ctrl-C and its kin all the same, while waiting for others who may never be done."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        with heard():
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def began(pid: int) -> float:
    """Give when a process began, in seconds since 1970."""
    ticks = start_time(pid) / os.sysconf("SC_CLK_TCK")
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks


def command_line(pid: int) -> str:
    """Give what a process was started as, for a person; `oven` is called so however it is run."""
    said = words(pid)
    if not said:
        return "a command that has ended"
    for ours in ("builder", "oven"):
        names = [word.rpartition("/")[2] for word in said[:3]]
        if ours in names:
            said = ["oven", *said[names.index(ours) + 1 :]]
    return visible(" ".join(said))


def _parent(pid: int) -> int:
    return int(_status(pid).get("PPid", 0))


def _status(pid: int) -> dict[str, str]:
    """Read /proc/PID/status; nothing when the process has ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return dict(line.partition(":\t")[::2] for line in text.splitlines())


def _kind_and_start(pid: int) -> tuple[bytes, int]:
    try:
        # Quicker than Path: `oven list` asks of a thousand.
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
            stat = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return b"X", 0
    # The second field is a name in brackets that may hold anything (proc_pid_stat(5)).
    fields = stat.rpartition(b")")[2].split()
    return fields[0], int(fields[19])
