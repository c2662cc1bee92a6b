"""Foreign programs: those of another architecture are run by qemu, in a namespace that knows it."""

import errno
import functools
import os
import platform
import re
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from builder.host.programs import CLEAN_ENVIRONMENT, Command, announce
from builder.model.errors import HostError, RecipeError
from builder.model.recipe import Arch

# Which program runs a foreign file is told to the kernel through binfmt_misc. Since Linux 6.7 every
# user namespace may have a table of its own, so that nothing of the host needs to be changed, and
# an ordinary user can do it. The table's entry holds qemu open (flag F), so trees need not have it.
#
# Where the host's own table has qemu, that is used. The kernel is asked for it, not
# /proc/sys/fs/binfmt_misc, which often is not mounted inside a container.

_MACHINES: Mapping[Arch, tuple[int, str, int]] = {
    # Bits, byte order, and the EM_* of elf.h.
    Arch.AMD64: (64, "<", 62),
    Arch.ARM64: (64, "<", 183),
    Arch.ARMHF: (32, "<", 40),
    Arch.I386: (32, "<", 3),
    Arch.PPC64EL: (64, "<", 21),
    Arch.RISCV64: (64, "<", 243),
    Arch.S390X: (64, ">", 22),
}


_NAMES: Mapping[Arch, tuple[str, str]] = {
    # The kernel's (uname -m), and qemu's.
    Arch.AMD64: ("x86_64", "x86_64"),
    Arch.ARM64: ("aarch64", "aarch64"),
    Arch.ARMHF: ("armv7l", "arm"),
    Arch.I386: ("i686", "i386"),
    Arch.PPC64EL: ("ppc64le", "ppc64le"),
    Arch.RISCV64: ("riscv64", "riscv64"),
    Arch.S390X: ("s390x", "s390x"),
}

FORMATS = Path("/usr/lib/binfmt.d")
"""Where qemu's package says how its programs are told from others (binfmt.d(5))."""

PACKAGE = "qemu-user-static"

_REGISTER = (
    "echo ready; read -r go;"
    # /tmp is there on every machine, and hidden only from this very shell.
    " mount -t binfmt_misc binfmt_misc /tmp &&"
    ' printf %s "$0" >/tmp/register && echo done && read -r go'
)


@dataclass(frozen=True, slots=True)
class Emulation:
    """A user namespace in which foreign programs run; all ids are as they are outside."""

    namespace: int
    """A descriptor of it, open as long as this process lives."""
    table: int
    """A descriptor of its table, which without any would be forgotten."""


def is_foreign(arch: Arch) -> bool:
    """Tell whether programs of an architecture cannot be started without more."""
    return platform.machine() != _NAMES[arch][0] and not _runs(arch)


def require_programs_of(arch: Arch) -> None:
    """Raise HostError when programs of an architecture cannot be run, and qemu is not here."""
    if is_foreign(arch):
        _entry(arch)


def emulator(arch: Arch) -> tuple[str, ...]:
    """Give the command that tells the version of the qemu for an architecture."""
    return (f"qemu-{_NAMES[arch][1]}-static", "--version")


_making = threading.Lock()


def emulation(arch: Arch) -> Emulation | None:
    """Give the namespace to run an architecture's programs in; None where they run as they are."""
    with _making:
        return _emulation(arch) if is_foreign(arch) else None


@functools.cache
def _runs(arch: Arch) -> bool:
    return _starts(program(arch))


def _starts(program: bytes) -> bool:
    """Tell whether the kernel takes a program, or has an interpreter for it; not how it ends."""
    import subprocess

    writable = os.memfd_create("program")
    try:
        os.write(writable, program)
        # What is open for writing cannot be run.
        fd = os.open(f"/proc/self/fd/{writable}", os.O_RDONLY)
    finally:
        os.close(writable)
    try:
        quiet = subprocess.DEVNULL
        with subprocess.Popen(
            [f"/proc/self/fd/{fd}"], pass_fds=[fd], stdin=quiet, stdout=quiet, stderr=quiet
        ) as process:
            process.kill()
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
        return False
    finally:
        os.close(fd)
    return True


def program(arch: Arch) -> bytes:
    """Write the smallest program that a kernel takes: it is loaded, and dies at its first step."""
    bits, order, machine = _MACHINES[arch]
    word, header, entry = ("Q", 64, 56) if bits == 64 else ("I", 52, 32)
    ident = b"\x7fELF" + bytes([bits // 32, 1 if order == "<" else 2, 1]) + bytes(9)
    # Elf64_Ehdr or Elf32_Ehdr: an executable with one segment, described after this.
    start = struct.pack(
        f"{order}HHI3{word}I6H", 2, machine, 1, 0, header, 0, 0, header, entry, 1, 0, 0, 0
    )
    size, place = header + entry, 1 << 20
    if bits == 64:
        segment = struct.pack(f"{order}II6Q", 1, 4, 0, place, place, size, size, 1 << 16)
    else:
        segment = struct.pack(f"{order}8I", 1, 0, place, place, size, size, 4, 1 << 16)
    return ident + start + segment


@functools.cache
def _emulation(arch: Arch) -> Emulation:
    import subprocess  # needed only here

    command = Command(("unshare", "--user", "--mount", "sh", "-c", _REGISTER, _entry(arch)))
    announce(command)
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command.argv, stdin=pipe, stdout=pipe, stderr=pipe, env=CLEAN_ENVIRONMENT
    ) as shell:
        assert shell.stdin
        assert shell.stdout
        assert shell.stderr
        try:
            if shell.stdout.readline() == b"ready\n":
                _map_all_ids(shell.pid)
                shell.stdin.write(b"go\n")
                shell.stdin.flush()
            if shell.stdout.readline() != b"done\n":
                raise _refused(arch, shell.stderr.read().decode(errors="replace").strip())
            return Emulation(
                namespace=os.open(f"/proc/{shell.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC),
                table=os.open(f"/proc/{shell.pid}/root/tmp", os.O_RDONLY | os.O_CLOEXEC),
            )
        finally:
            shell.kill()


def _refused(arch: Arch, why: str) -> HostError:
    return HostError(
        f"this kernel cannot be told how to run programs of `{arch}`: {why or 'unshare failed'}",
        hint=f"that needs Linux 6.7; or, as root: apt-get install binfmt-support {PACKAGE}, which"
        " tells it for the whole machine",
    )


def _map_all_ids(pid: int) -> None:
    """Let a user namespace have all ids that this process has, each under its own number."""
    for name in ("uid_map", "gid_map"):
        lines = Path("/proc/self", name).read_text(encoding="ascii").splitlines()
        starts = [(line.split()[0], line.split()[2]) for line in lines]
        text = "".join(f"{start} {start} {count}\n" for start, count in starts)
        Path(f"/proc/{pid}", name).write_text(text, encoding="ascii")


def _entry(arch: Arch) -> str:
    """Give the line for the kernel's table that qemu's package has."""
    name = _NAMES[arch][1]
    path = FORMATS / f"qemu-{name}.conf"
    lines = path.read_text(encoding="ascii").splitlines() if path.exists() else []
    for line in lines:
        # :NAME:M:OFFSET:MAGIC:MASK:INTERPRETER:FLAGS
        found = re.fullmatch(r":[^:]+:M:\d*:[^:]+:[^:]*:(/[^:]+):\w*F\w*", line)
        if found and os.access(found[1], os.X_OK):
            return line
    raise HostError(
        f"this machine cannot run the programs of `{arch}`", hint=f"apt-get install {PACKAGE}"
    )


_BY_MACHINE = {
    "x86_64": Arch.AMD64,
    "aarch64": Arch.ARM64,
    "armv7l": Arch.ARMHF,
    "i686": Arch.I386,
    "ppc64le": Arch.PPC64EL,
    "riscv64": Arch.RISCV64,
    "s390x": Arch.S390X,
}


def host_arch() -> Arch:
    """Give this machine's architecture; raises RecipeError for one that Debian does not have."""
    machine = platform.machine()
    try:
        return _BY_MACHINE[machine]
    except KeyError as error:
        raise RecipeError(
            f"no architecture is known for this machine (`{machine}`)", hint="say --arch"
        ) from error
