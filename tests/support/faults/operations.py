"""A command seen from below: its disk operations are counted, and one may kill it or fail.

The kernel asks us before each system call that changes something on disk (seccomp_unotify(2)), in
one order over all threads, which is what ptrace's tools cannot do: they count for each thread.
"""

import contextlib
import ctypes
import errno
import os
import select
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_ALLOW = 0x7FFF0000
_NOTIFY = 0x7FC00000
_MASKED_EQUAL = 7
_NO_NEW_PRIVS = 3
_CONTINUE = 1

PATHS: Mapping[str, tuple[int | None, int]] = {
    # The call, which argument is the folder's descriptor, and which the path.
    "mkdir": (None, 0), "mkdirat": (0, 1), "link": (None, 1), "linkat": (2, 3),
    "symlink": (None, 1), "symlinkat": (1, 2), "rename": (None, 1), "renameat": (2, 3),
    "renameat2": (2, 3), "mknod": (None, 0), "mknodat": (0, 1), "mount": (None, 1),
    "open": (None, 0), "openat": (0, 1), "utimensat": (0, 1), "chmod": (None, 0),
    "fchmodat": (0, 1), "chown": (None, 0), "lchown": (None, 0), "fchownat": (0, 1),
    "setxattr": (None, 0), "truncate": (None, 0),
}  # fmt: skip
"""Calls that may fail for want of room or of a sound disk."""
DESCRIPTORS = (
    "write", "pwrite64", "writev", "fsync", "fdatasync", "syncfs", "ftruncate", "fallocate",
    "copy_file_range", "sendfile", "fchmod", "fchown",
)  # fmt: skip
_WRITTEN = {"copy_file_range": 2}
"""Which argument is the descriptor, where it is not the first."""
REMOVING: Mapping[str, tuple[int | None, int]] = {
    "unlink": (None, 0), "unlinkat": (0, 1), "rmdir": (None, 0), "umount2": (None, 0),
}  # fmt: skip
"""Calls that give room: a command may be killed at them, but they do not fail."""
_CREATING = {"open": 1, "openat": 2}
"""Opening counts where it may make a file; which argument has the flags."""


class _Data(ctypes.Structure):
    _fields_ = (
        ("nr", ctypes.c_int),
        ("arch", ctypes.c_uint32),
        ("instruction_pointer", ctypes.c_uint64),
        ("args", ctypes.c_uint64 * 6),
    )


class _Request(ctypes.Structure):
    _fields_ = (
        ("id", ctypes.c_uint64),
        ("pid", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("data", _Data),
    )


class _Response(ctypes.Structure):
    _fields_ = (
        ("id", ctypes.c_uint64),
        ("val", ctypes.c_int64),
        ("error", ctypes.c_int32),
        ("flags", ctypes.c_uint32),
    )


class _Compare(ctypes.Structure):
    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    )


def _library() -> ctypes.CDLL:
    lib = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    lib.seccomp_init.restype = ctypes.c_void_p
    for name in ("seccomp_load", "seccomp_notify_fd", "seccomp_attr_set", "seccomp_release"):
        getattr(lib, name).argtypes = [ctypes.c_void_p]
    lib.seccomp_attr_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]
    lib.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(_Compare),
    ]  # fmt: skip
    lib.seccomp_api_get()  # it looks what the kernel can do, without which it can do nothing
    return lib


@dataclass(frozen=True)
class Operation:
    """A system call that is about to be made."""

    stage: str
    """What the command said last before it."""
    call: str
    path: str
    """What it is done to, as far as that can be told."""
    own: bool
    """Whether it is the command's own, and not that of a program that it runs."""


Choice = Callable[[Operation, int], int]
"""Is given an operation and its number; gives 0 to let it be, an errno, or minus a signal."""


@dataclass
class Seen:
    """How a command ended, and what it did on disk."""

    code: int = 0
    """Minus the signal if it was killed."""
    stdout: str = ""
    stderr: str = ""
    operations: list[Operation] = field(default_factory=list)
    stage: str = "start"
    """The last one that it got to."""
    hit: Operation | None = None
    """The first operation at which something was done to it."""


def nothing(operation: Operation, number: int) -> int:
    """Let all operations be."""
    return 0


def in_stage(stage: str, wanted: int, answer: int, *, own: bool = True) -> Choice:
    """Do something at the n-th operation of a stage, counted from 0: an errno, or minus a signal.

    Either the command's own operations count, or those of the programs that it runs.
    """
    return at_latest((stage,), wanted, answer, own=own)


def at_latest(order: Sequence[str], wanted: int, answer: int, *, own: bool = True) -> Choice:
    """Do it at the n-th operation of the first of these stages, and kill it at the next stage."""
    so_far = iter(range(10**9))

    def choose(operation: Operation, number: int) -> int:
        if operation.stage in order[1:]:
            return -signal.SIGKILL
        if operation.own != own or operation.stage != order[0]:
            return 0
        if answer > 0 and operation.call in REMOVING:
            return 0
        return answer if next(so_far) == wanted else 0

    return choose


def watch(
    argv: Sequence[str], env: Mapping[str, str], cwd: Path, choose: Choice, *, below: Path
) -> Seen:
    """Run a command to its end; operations on anything but files below a folder do not count.

    What programs do inside a sandbox counts too: their paths are not those of the host.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = subprocess.Popen(
            argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, process_group=0,
            # The only other thread is that of an idle server.
            preexec_fn=lambda: _install(theirs),  # noqa: PLW1509
        )  # fmt: skip
        theirs.close()
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
    watcher = _Watcher(process, descriptors[0], choose, below)
    try:
        return watcher.run()
    finally:
        os.close(descriptors[0])


def _install(out: socket.socket) -> None:
    """Have the kernel ask about system calls of this process and its children."""
    lib = _library()
    context = lib.seccomp_init(_ALLOW)
    # Root may do without, and setuid programs work as ever.
    lib.seccomp_attr_set(context, _NO_NEW_PRIVS, 0)
    for name in (*PATHS, *DESCRIPTORS, *REMOVING):
        number = lib.seccomp_syscall_resolve_name(name.encode())
        if number < 0:
            continue  # this architecture has no such call
        rule = (_Compare * 1)()
        if name in _CREATING:
            rule[0] = _Compare(_CREATING[name], _MASKED_EQUAL, os.O_CREAT, os.O_CREAT)
        if lib.seccomp_rule_add_array(
            context, _NOTIFY, number, len(rule) * (name in _CREATING), rule
        ):
            os._exit(99)
    if lib.seccomp_load(context):
        os._exit(98)
    socket.send_fds(out, [b"x"], [lib.seccomp_notify_fd(context)])
    out.close()


class _Watcher:
    def __init__(
        self, process: "subprocess.Popen[bytes]", listener: int, choose: Choice, below: Path
    ) -> None:
        self._lib = _library()
        self._process = process
        self._listener = listener
        self._choose = choose
        self._below = str(below)
        self._names = {
            self._lib.seccomp_syscall_resolve_name(name.encode()): name
            for name in (*PATHS, *DESCRIPTORS, *REMOVING)
        }
        self._out: dict[int, bytearray] = {}
        self._seen = Seen()

    def run(self) -> Seen:
        """Answer the kernel until the command and all that it started have ended."""
        assert self._process.stdout
        assert self._process.stderr
        self._out = {
            one.fileno(): bytearray() for one in (self._process.stdout, self._process.stderr)
        }
        self._stderr = self._process.stderr.fileno()
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        for fd in self._out:
            os.set_blocking(fd, False)
            poll.register(fd, select.POLLIN)
        waiting = set(self._out)
        over = False
        while waiting or not over:
            for fd, event in sorted(poll.poll(1000), key=lambda one: one[0] == self._listener):
                if fd != self._listener:
                    if not self._read(fd):
                        poll.unregister(fd)
                        waiting.discard(fd)
                elif event & select.POLLIN:
                    self._answer()
                else:
                    poll.unregister(fd)  # nobody is left who could ask
                    over = True
        self._seen.code = self._process.wait()
        self._seen.stdout, self._seen.stderr = (
            bytes(data).decode(errors="replace") for data in self._out.values()
        )
        self._process.stdout.close()
        self._process.stderr.close()
        return self._seen

    def _read(self, fd: int) -> bool:
        with contextlib.suppress(BlockingIOError):
            data = os.read(fd, 65536)
            self._out[fd] += data
            if fd == self._stderr:
                for line in data.decode(errors="replace").splitlines():
                    if line.strip():
                        self._seen.stage = stage_of(line) or self._seen.stage
            return bool(data)
        return True

    def _answer(self) -> None:
        request = _Request()
        if self._lib.seccomp_notify_receive(self._listener, ctypes.byref(request)):
            return  # it has died meanwhile
        # What it said before it asked is in the pipe.
        self._read(self._stderr)
        answer = 0
        if (operation := self._operation(request)) is not None:
            self._seen.operations.append(operation)
            answer = self._choose(operation, len(self._seen.operations) - 1)
            if answer and self._seen.hit is None:
                self._seen.hit = operation
        if answer < 0:
            self._signal(-answer)
        error = -answer if answer > 0 else 0
        response = _Response(request.id, 0, error, 0 if error else _CONTINUE)
        self._lib.seccomp_notify_respond(self._listener, ctypes.byref(response))

    def _signal(self, number: int) -> None:
        """Kill just the command, as the kernel does; Ctrl-C is for the whole group."""
        with contextlib.suppress(ProcessLookupError):
            if number == signal.SIGINT:
                os.killpg(self._process.pid, number)
            elif self._process.poll() is None:
                os.kill(self._process.pid, number)

    def _operation(self, request: _Request) -> Operation | None:
        name, arguments = self._names[request.data.nr], request.data.args
        own = self._is_own(request.pid)
        try:
            if name in DESCRIPTORS:
                at = _WRITTEN.get(name, 0)
                path = str(Path(f"/proc/{request.pid}/fd/{arguments[at]}").readlink())
            else:
                folder, place = {**PATHS, **REMOVING}[name]
                path = _text(request.pid, arguments[place])
                if not path.startswith("/"):
                    number = None if folder is None else ctypes.c_int(arguments[folder]).value
                    start = "cwd" if number in {None, -100} else f"fd/{number}"
                    path = str(Path(f"/proc/{request.pid}/{start}").readlink() / path)
        except OSError:
            path = ""  # it has died meanwhile, or the call is about to fail anyway
        if not path.startswith("/") or path.startswith(("/proc/", "/dev/", "/sys/")):
            return None
        if own and not path.startswith(self._below):
            return None
        return Operation(self._seen.stage, name, path.removeprefix(self._below), own)

    def _is_own(self, thread: int) -> bool:
        try:
            status = Path(f"/proc/{thread}/status").read_text(errors="replace")
        except OSError:
            return False
        return f"\nTgid:\t{self._process.pid}\n" in status


def stage_of(line: str) -> str:
    """Tell which stage a line of `--explain` begins; nothing if it begins none."""
    words = line.split()
    if line.endswith(" ..."):
        return words[0]
    if words[0] == "built":
        return "built"
    if line.startswith("  ") and len(words) > 2 and words[2] == "kept":
        return f"after {words[0]}"
    if ": " in line and words[0].rstrip(":") in {"pack", "probe", "resolve"}:
        return f"after {words[0].rstrip(':')}"
    return ""


def _text(pid: int, address: int) -> str:
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:  # noqa: PTH123
        memory.seek(address)
        data = b""
        while b"\0" not in data and len(data) < 4096:
            data += memory.read(min(256, 4096 - address % 4096))
            address += 256 if address % 4096 == 0 else 4096 - address % 4096
            memory.seek(address)
    return os.fsdecode(data.split(b"\0")[0])


def stages(operations: Sequence[Operation], *, own: bool = True) -> dict[str, int]:
    """Give the stages in their order, and how many operations each of them made."""
    found: dict[str, int] = {}
    for one in operations:
        if one.own == own:
            found[one.stage] = found.get(one.stage, 0) + 1
    return found


FULL = errno.ENOSPC
BROKEN = errno.EIO
