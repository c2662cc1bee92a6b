"""The seccomp filter that makes fsync and its kin succeed without doing anything.

A tree in the making is worth nothing after a crash: the store keeps it whole, synced, or not at
all. dpkg alone calls fsync thousands of times. The program is classic BPF as seccomp(2) takes it,
one section for each machine word that a process may use, so it does not depend on the host.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K

_ALLOW = 0x7FFF0000  # SECCOMP_RET_ALLOW
_SUCCEED = 0x00050000  # SECCOMP_RET_ERRNO with errno 0: the call returns 0

# struct seccomp_data: int nr; __u32 arch; __u64 instruction_pointer; __u64 args[6]
_NUMBER = 0
_ARCH = 4
_THIRD_ARGUMENT = 16 + 2 * 8  # its low half: all machines below are little-endian

_MS_SYNC = 4
_X32_BIT = 0x40000000


@dataclass(frozen=True, slots=True)
class Calls:
    """The numbers of the calls on one machine."""

    sync: tuple[int, ...]
    """sync, fsync, fdatasync, syncfs, sync_file_range (or its 2)."""
    msync: int


CALLS: Mapping[int, Calls] = {
    # AUDIT_ARCH_* of linux/audit.h; the numbers are those of asm/unistd.h.
    0xC000003E: Calls(sync=(162, 74, 75, 306, 277), msync=26),  # x86_64 and x32
    0x40000003: Calls(sync=(36, 118, 148, 344, 314), msync=144),  # i386
    0xC00000B7: Calls(sync=(81, 82, 83, 267, 84), msync=227),  # aarch64
    0xC00000F3: Calls(sync=(81, 82, 83, 267, 84), msync=227),  # riscv64
    0x40000028: Calls(sync=(36, 118, 148, 373, 341), msync=144),  # arm
}


def sync_filter() -> bytes:
    """Give the program, in the native byte order as the kernel wants it."""
    program = [_step(_LOAD, _ARCH)]
    for arch, calls in CALLS.items():
        section = _section(calls)
        program.append(_step(_EQUAL, arch, otherwise=len(section)))
        program += section
    program.append(_step(_RETURN, _ALLOW))
    return b"".join(program)


def _section(calls: Calls) -> list[bytes]:
    """Decide about a call of one machine; ends with a return on every path."""
    body = [_step(_LOAD, _NUMBER), _step(_AND, ~_X32_BIT & 0xFFFFFFFF)]
    # Only MS_SYNC waits for a disk. Other flags pass: libunwind asks msync whether a page exists.
    tail = [
        _step(_EQUAL, calls.msync, otherwise=3),
        _step(_LOAD, _THIRD_ARGUMENT),
        _step(_ANY_BIT, _MS_SYNC, otherwise=1),
        _step(_RETURN, _SUCCEED),
        _step(_RETURN, _ALLOW),
    ]
    for left, number in enumerate(reversed(calls.sync)):
        # A hit jumps over the tests that are left, to the one `succeed` of the tail.
        tail.insert(0, _step(_EQUAL, number, hit=left + 3))
    return body + tail


def _step(code: int, value: int, *, hit: int = 0, otherwise: int = 0) -> bytes:
    """Encode a struct sock_filter (linux/filter.h)."""
    return struct.pack("=HBBI", code, hit, otherwise, value)
