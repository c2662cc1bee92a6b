"""The seccomp filter of sandboxes: syncing is skipped, and what reaches past a sandbox is absent.

A tree in the making is worth nothing after a crash: the store keeps it whole, synced, or not at
all. dpkg alone calls fsync thousands of times. Root's keyrings, rings of io_uring, and sockets that
no network namespace parts are those of the host, whatever capabilities a script has lost. The
program is classic BPF as seccomp(2) takes it, one section for each machine word that a process may
use, so it does not depend on the host.
"""

import struct
from collections.abc import Iterator, Mapping

import msgspec

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K

_ALLOW = 0x7FFF0000  # SECCOMP_RET_ALLOW
_ERROR = 0x00050000  # SECCOMP_RET_ERRNO; with errno 0 the call returns 0
_ENOSYS = 38
_EAFNOSUPPORT = 97

# struct seccomp_data: int nr; __u32 arch; __u64 instruction_pointer; __u64 args[6]
_NUMBER = 0
_ARCH = 4
_FIRST_ARGUMENT = 16  # its low half, all that counts: all machines below are little-endian
_THIRD_ARGUMENT = 16 + 2 * 8

_MS_SYNC = 4
_X32_BIT = 0x40000000

UNPARTED = (0xFFFFFFE0, 32)
"""A mask and a value that all families of sockets from 32 to 63 have; Linux 6.18 ends at 45.

Network namespaces do not part AF_VSOCK, by which the host and its hypervisor talk, AF_ALG, which
reaches the host's cryptography, and others. Of those that they part, none is of use to a guest:
AF_XDP and AF_KCM need bpf, AF_RXRPC keyrings, the rest modems and radios.
"""
AF_RDS = 21
"""What it does over InfiniBand is the host's."""
SOCKETCALLS = (1, 8)
"""SYS_SOCKET and SYS_SOCKETPAIR of socketcall(2), whose family no filter can see."""


class Calls(msgspec.Struct, frozen=True):
    """The numbers of the calls on one machine."""

    sync: tuple[int, ...]
    """sync, fsync, fdatasync, syncfs, sync_file_range (or its 2)."""
    msync: int
    absent: tuple[int, ...]
    """keyctl, add_key, request_key, bpf, perf_event_open, userfaultfd, syslog."""
    sockets: tuple[int, ...]
    """socket, socketpair."""
    socketcall: tuple[int, ...] = ()


_ARM64 = Calls(
    sync=(81, 82, 83, 267, 84),
    msync=227,
    absent=(219, 217, 218, 280, 241, 282, 116),
    sockets=(198, 199),
)
CALLS: Mapping[int, Calls] = {
    # AUDIT_ARCH_* of linux/audit.h; the numbers are those of asm/unistd.h.
    0xC000003E: Calls(  # x86_64 and x32
        sync=(162, 74, 75, 306, 277),
        msync=26,
        absent=(250, 248, 249, 321, 298, 323, 103),
        sockets=(41, 53),
    ),
    0x40000003: Calls(  # i386
        sync=(36, 118, 148, 344, 314),
        msync=144,
        absent=(288, 286, 287, 357, 336, 374, 103),
        sockets=(359, 360),
        socketcall=(102,),
    ),
    0xC00000B7: _ARM64,
    0xC00000F3: _ARM64,  # riscv64
    0x40000028: Calls(  # arm
        sync=(36, 118, 148, 373, 341),
        msync=144,
        absent=(311, 309, 310, 386, 364, 388, 103),
        sockets=(281, 288),
    ),
}
_RINGS = (425, 426, 427)
"""io_uring_setup, io_uring_enter, io_uring_register: the same everywhere."""

_Line = tuple[int, int, str, str]
"""An instruction, its value, and the labels it goes on at; without one, at the next line."""


def call_filter(*, socketcall: bool = False) -> bytes:
    """Give the program, in the native byte order as the kernel wants it.

    `socketcall` lets programs of i386 make sockets in the only way that their C library knows.
    """
    program = [_step(_LOAD, _ARCH)]
    for arch, calls in CALLS.items():
        if socketcall:
            calls = msgspec.structs.replace(calls, socketcall=())  # noqa: PLW2901
        section = _assembled(_section(calls))
        program.append(_step(_EQUAL, arch, otherwise=len(section)))
        program += section
    program.append(_step(_RETURN, _ALLOW))
    return b"".join(program)


def _section(calls: Calls) -> Iterator[str | _Line]:
    """Decide about a call of one machine; words are labels of the line that follows."""
    yield _LOAD, _NUMBER, "", ""
    yield _AND, ~_X32_BIT & 0xFFFFFFFF, "", ""
    groups = {
        "succeed": calls.sync,
        "absent": (*calls.absent, *_RINGS),
        "family": calls.sockets,
        "multiplexed": calls.socketcall,
        "memory": (calls.msync,),
    }
    for label, numbers in groups.items():
        for number in numbers:
            yield _EQUAL, number, label, ""
    yield _RETURN, _ALLOW, "", ""
    yield "multiplexed"
    yield _LOAD, _FIRST_ARGUMENT, "", ""
    for number in SOCKETCALLS:
        yield _EQUAL, number, "unknown", ""
    yield _RETURN, _ALLOW, "", ""
    yield "family"
    yield _LOAD, _FIRST_ARGUMENT, "", ""
    yield _EQUAL, AF_RDS, "unknown", ""
    yield _AND, UNPARTED[0], "", ""
    yield _EQUAL, UNPARTED[1], "unknown", "pass"
    yield "memory"
    # Only MS_SYNC waits for a disk. Other flags pass: libunwind asks msync whether a page exists.
    yield _LOAD, _THIRD_ARGUMENT, "", ""
    yield _ANY_BIT, _MS_SYNC, "succeed", "pass"
    for label, value in (
        ("pass", _ALLOW),
        ("succeed", _ERROR),
        ("absent", _ERROR | _ENOSYS),
        ("unknown", _ERROR | _EAFNOSUPPORT),
    ):
        yield label
        yield _RETURN, value, "", ""


def _assembled(section: Iterator[str | _Line]) -> list[bytes]:
    """Turn labels into distances."""
    lines: list[_Line] = []
    places: dict[str, int] = {}
    for one in section:
        if isinstance(one, str):
            places[one] = len(lines)
        else:
            lines.append(one)
    return [
        _step(
            code,
            value,
            hit=places[hit] - at - 1 if hit else 0,
            otherwise=places[miss] - at - 1 if miss else 0,
        )
        for at, (code, value, hit, miss) in enumerate(lines)
    ]


def _step(code: int, value: int, *, hit: int = 0, otherwise: int = 0) -> bytes:
    """Encode a struct sock_filter (linux/filter.h)."""
    return struct.pack("=HBBI", code, hit, otherwise, value)
