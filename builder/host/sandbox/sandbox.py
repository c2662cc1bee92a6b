"""Sandboxes: how Oven runs a program that lives inside a tree."""

import contextlib
import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from builder.host.programs import CLEAN_ENVIRONMENT, NO_SPACE, Command, Done, failed, on_host
from builder.host.sandbox.binfmt import emulation
from builder.host.sandbox.call_filter import call_filter
from builder.model.errors import HostError
from builder.model.recipe import Arch

ENVIRONMENT: Mapping[str, str] = {
    **CLEAN_ENVIRONMENT,
    "HOME": "/root",
    "DEBIAN_FRONTEND": "noninteractive",
    "DEBCONF_NONINTERACTIVE_SEEN": "true",
}
"""What every program in a sandbox sees."""


HOSTNAME = "localhost"
"""What a sandbox is called: a name that leads to every machine itself."""

_BWRAP = (
    "bwrap", "--die-with-parent", "--new-session",
    "--unshare-pid", "--unshare-ipc", "--unshare-uts",
)  # fmt: skip

_CAPABILITIES = (
    "CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
    "CAP_LEASE", "CAP_LINUX_IMMUTABLE", "CAP_MKNOD", "CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
    "CAP_SYS_NICE",
)  # fmt: skip
"""What maintainer scripts may do: chown, mknod, switch users, and be root of their own network.

When root builds, the others would reach the host (capabilities(7)): SYS_ADMIN mounts file systems
on which device nodes mean the host's devices, and uncovers /proc/sys; DAC_READ_SEARCH opens any
file by its handle; SYSLOG, SYS_MODULE, SYS_RAWIO, SYS_TIME, SYS_BOOT and BPF know no namespace.
"""

_OF_THE_NETWORK = frozenset({"CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW"})
"""With the host's network it is the host's that they rule over."""

_RESOLVER = (
    "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf",
    "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/crypto-policies",
)  # fmt: skip
"""What a program of the host's needs to find another machine and to trust its certificate."""

_ROOM = 1 << 20
"""Bytes; a disk with less room counts as full."""

_OF_THE_KERNEL = ("/proc/fs", "/proc/sys", "/proc/sysrq-trigger")
"""What user 0 may write to without any capability; bwrap itself covers only what is a folder that
access(2) calls writable, and these are not."""


@dataclass(frozen=True, slots=True)
class SandboxBind:
    """A file or folder of the host that is seen inside; the place must exist in the tree."""

    source: Path
    inside: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A tree to run programs in, and what they may see besides it.

    They are root of namespaces of their own: fresh /proc and /dev, no /sys, no host processes, no
    network unless asked for, and no right that reaches beyond. All that they started dies with
    them.
    """

    root: Path
    """A writable view of a tree, such as an overlay; never a tree of the store itself."""
    binds: tuple[SandboxBind, ...] = ()
    network: bool = False
    """Whether it has the host's network, and no right over it."""
    hostname: str = HOSTNAME
    epoch: int | None = None
    """SOURCE_DATE_EPOCH, for programs that honor it."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Beyond `ENVIRONMENT`."""
    arch: Arch | None = None
    """That of the tree's programs; None: this machine's."""
    hidden: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Files that only root can read, by their paths inside. They are in memory, and shown nowhere:
    neither on a command line nor on a disk."""
    from_host: bool = False
    """Whether the programs are the host's, and work on the tree from outside, where it lies; they
    see nothing else of the host than its programs, and what they start may chroot into the tree."""


def inside(sandbox: Sandbox) -> "Inside":
    """Give the runner that runs commands in a sandbox."""
    return Inside(sandbox)


@dataclass(frozen=True, slots=True)
class Inside:
    """Runs commands in a sandbox; a `cwd` is a path inside."""

    sandbox: Sandbox

    def __call__(self, command: Command, /) -> Done:
        """Run a command to its end and give how it ended."""
        with _in_memory(self.sandbox.hidden) as files:
            fds = tuple(files.values())
            shown = [word for path, fd in files.items() for word in _show(path, fd)]
            first: tuple[str, ...] = ()
            known = emulation(self.sandbox.arch) if self.sandbox.arch else None
            if known is not None:
                first, fds = ("--userns", str(known.namespace)), (*fds, known.namespace)
            inherited = msgspec.structs.replace(command, pass_fds=(*command.pass_fds, *fds))
            return _filtered(
                lambda *more: self._argv(command, *first, *more, last=shown),
                inherited,
                socketcall=self.sandbox.arch is Arch.I386,
            )

    def require(self, command: Command, problem: str | None = None, /) -> Done:
        """Run a command that must succeed; else a StageError with its output."""
        done = self(command)
        if done.code != 0:
            _blame_host(done)
            error = failed(command, done, problem)
            error.command = self.paste(command)
            if _is_full(self.sandbox.root):
                error.hint = NO_SPACE
            raise error
        return done

    def paste(self, command: Command) -> str:
        """Write the whole command as a shell takes it, without what only this process has open."""
        return shlex.join(self._argv(command))

    def _argv(self, command: Command, *more: str, last: Sequence[str] = ()) -> tuple[str, ...]:
        box = self.sandbox
        argv = [*_BWRAP, "--cap-drop", "ALL"]
        for name in _CAPABILITIES:
            argv += [] if box.network and name in _OF_THE_NETWORK else ["--cap-add", name]
        argv += [*more, "--clearenv", "--hostname", box.hostname]
        argv += [] if box.network else ["--unshare-net"]
        if box.from_host:
            argv += [*programs_of_host(), *views_of_kernel("")]
            argv += ["--tmpfs", "/tmp", "--tmpfs", "/run"]
            for path in _RESOLVER if box.network else ():
                argv += ["--ro-bind-try", path, path]
            argv += ["--bind", str(box.root), str(box.root), *views_of_kernel(str(box.root))]
            argv += ["--tmpfs", f"{box.root}/run"]
        else:
            argv += ["--bind", str(box.root), "/", *views_of_kernel("")]
        for bind in box.binds:
            argv += ["--bind" if bind.writable else "--ro-bind", str(bind.source), bind.inside]
        argv += last
        for name, value in {**_environment(box), **command.env}.items():
            argv += ["--setenv", name, value]
        argv += ["--chdir", str(command.cwd or "/"), "--", *command.argv]
        return tuple(argv)


def programs_of_host() -> list[str]:
    """Show the host's programs and what they cannot do without, and none of its data."""
    argv = []
    for path in ("/usr", "/etc/alternatives", "/etc/ld.so.cache", "/etc/passwd", "/etc/group"):
        argv += ["--ro-bind-try", path, path]
    for folder in map(Path, ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")):
        if folder.is_symlink():
            argv += ["--symlink", str(folder.readlink()), str(folder)]
        else:
            argv += ["--ro-bind-try", str(folder), str(folder)]
    return argv


def views_of_kernel(root: str) -> list[str]:
    """Mount what is the kernel's below a root."""
    argv = ["--proc", f"{root}/proc", "--dev", f"{root}/dev"]
    for path in _OF_THE_KERNEL:
        argv += ["--ro-bind-try", path, f"{root}{path}"]
    return argv


def _show(path: str, fd: int) -> tuple[str, ...]:
    return ("--perms", "0400", "--ro-bind-data", str(fd), path)


@contextlib.contextmanager
def _in_memory(files: Mapping[str, bytes]) -> Iterator[dict[str, int]]:
    """Lend a descriptor of a file in memory for each path."""
    opened: dict[str, int] = {}
    try:
        for path, data in files.items():
            opened[path] = fd = os.memfd_create("hidden")
            os.write(fd, data)
            os.lseek(fd, 0, os.SEEK_SET)
        yield opened
    finally:
        for fd in opened.values():
            os.close(fd)


def _blame_host(done: Done) -> None:
    """Raise HostError when it was not the program that failed: bwrap could not start it."""
    said = done.stderr.decode(errors="replace").strip()
    if said.startswith("bwrap: execvp") and said.endswith("Exec format error"):
        raise HostError(
            "this machine cannot run the programs of the tree's architecture",
            hint="apt-get install qemu-user-static binfmt-support",
        )
    if said.startswith("bwrap: ") and not said.startswith("bwrap: execvp"):
        raise HostError(
            f"cannot make a sandbox: {said.removeprefix('bwrap: ')}",
            hint="inside a container, it must be one that may mount /proc; `oven doctor` tells",
        )


def _is_full(folder: Path) -> bool:
    """Tell whether there is no room; a program that failed for it may not have said so."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize < _ROOM or (disk.f_files > 0 and disk.f_favail == 0)


def _environment(sandbox: Sandbox) -> dict[str, str]:
    # TeX writes the time into formats unless it is told twice (texmfmp.c).
    epoch = {"SOURCE_DATE_EPOCH": str(sandbox.epoch), "FORCE_SOURCE_DATE": "1"}
    dated = {} if sandbox.epoch is None else epoch
    return {**ENVIRONMENT, **dated, **sandbox.env}


def secluded(command: Command) -> Done:
    """Run a program of the host's without network, and so that nothing it starts outlives it."""
    alone = (
        *_BWRAP,
        "--cap-add",
        "ALL",
        "--unshare-net",
        "--hostname",
        HOSTNAME,
        "--dev-bind",
        "/",
        "/",
    )

    def argv(*more: str) -> tuple[str, ...]:
        return (*alone, *more, "--proc", "/proc", "--", *command.argv)

    return _filtered(argv, command)


def _filtered(
    argv: Callable[..., tuple[str, ...]], command: Command, *, socketcall: bool = False
) -> Done:
    """Run a command line that is given bwrap's options for the filter."""
    fd = os.memfd_create("callfilter")
    try:
        os.write(fd, call_filter(socketcall=socketcall))
        os.lseek(fd, 0, os.SEEK_SET)
        line = argv("--seccomp", str(fd))
        inherited = (fd, *command.pass_fds)
        return on_host(msgspec.structs.replace(command, argv=line, cwd=None, pass_fds=inherited))
    finally:
        os.close(fd)
