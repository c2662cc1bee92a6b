"""Foreign programs: whether this machine can run those of another architecture."""

import errno
import os
import struct
from collections.abc import Mapping

from builder.model.errors import HostError
from builder.model.recipe import Arch

# The kernel is asked, not /proc/sys/fs/binfmt_misc: inside a container that often is not mounted,
# and what the host has registered works all the same.

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


def require_programs_of(arch: Arch) -> None:
    """Raise HostError when programs of an architecture cannot even be started."""
    if not _starts(program(arch)):
        raise HostError(
            f"this machine cannot run the programs of `{arch}`",
            hint="apt-get install qemu-user-static binfmt-support",
        )


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
