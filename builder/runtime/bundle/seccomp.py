"""Seccomp and capabilities: what a system container may ask of the kernel."""

from builder.host.sandbox.call_filter import AF_RDS, SOCKETCALLS, UNPARTED

# A system container runs an init that must mount, make namespaces and trace its own processes, so
# the list names what is refused instead of what is allowed. The boundary is the user namespace;
# the list takes away kernel code that no namespace guards.

_EPERM = 1
_EACCES = 13
_EINVAL = 22
_ENOSYS = 38
_EAFNOSUPPORT = 97

_FORBIDDEN = (
    "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module",
    "open_by_handle_at", "bpf", "perf_event_open", "userfaultfd", "swapon", "swapoff", "acct",
    "lookup_dcookie", "nfsservctl", "iopl", "ioperm", "syslog",
)  # fmt: skip
_ABSENT = (
    "keyctl", "add_key", "request_key",
    "io_uring_setup", "io_uring_enter", "io_uring_register",
)  # fmt: skip
"""Keyrings know no namespaces, and a ring makes sockets by calls that no filter sees. Programs do
without when they are absent."""

_AF_NETLINK = 16
_NETLINK_AUDIT = 9
_MNT_FORCE = 1
_F_SETLEASE = 1024
_TIOCSTI = 0x5412
_TIOCLINUX = 0x541C

_ARCHITECTURES = {
    "x86_64": ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"),
    "aarch64": ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"),
}


def profile(machine: str, *, socketcall: bool = False) -> dict[str, object]:
    """Give the `seccomp` part of an OCI configuration for a machine such as `x86_64`.

    `socketcall` lets programs of i386 make sockets in the only way that their C library knows, and
    then of any family.
    """
    filters: list[dict[str, object]] = [
        _refuse(_FORBIDDEN, _EPERM),
        _refuse(_ABSENT, _ENOSYS),
        # libseccomp refuses in `socketcall` whatever it refuses in `socket`, of any family.
        *(() if socketcall else _sockets()),
        _refuse(("umount2",), _EACCES, _masked(1, _MNT_FORCE, _MNT_FORCE)),
        # A lease has whoever opens the file wait for its owner, the host too: 45 seconds each time.
        _refuse(("fcntl", "fcntl64"), _EINVAL, _equal(1, _F_SETLEASE)),
        # These put words into the terminal of whoever looks inside (CVE-2016-10124).
        _refuse(("ioctl",), _EPERM, _equal(1, _TIOCSTI)),
        _refuse(("ioctl",), _EPERM, _equal(1, _TIOCLINUX)),
    ]
    result: dict[str, object] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": filters}
    if machine in _ARCHITECTURES:
        result["architectures"] = list(_ARCHITECTURES[machine])
    return result


def _sockets() -> list[dict[str, object]]:
    makes = ("socket", "socketpair")
    return [
        # PAM and sshd take this for a kernel without audit; the true error makes logins fail.
        _refuse(("socket",), _EAFNOSUPPORT, _equal(0, _AF_NETLINK), _equal(2, _NETLINK_AUDIT)),
        _refuse(makes, _EAFNOSUPPORT, _masked(0, *UNPARTED)),
        _refuse(makes, _EAFNOSUPPORT, _equal(0, AF_RDS)),
        # The C library of musl asks in the newer way first, that of GNU in no other.
        *(_refuse(("socketcall",), _EAFNOSUPPORT, _equal(0, call)) for call in SOCKETCALLS),
    ]


def _refuse(names: tuple[str, ...], error: int, *arguments: dict[str, object]) -> dict[str, object]:
    rule: dict[str, object] = {
        "names": list(names),
        "action": "SCMP_ACT_ERRNO",
        "errnoRet": error,
    }
    if arguments:
        rule["args"] = list(arguments)
    return rule


def _equal(index: int, value: int) -> dict[str, object]:
    # The kernel reads 32 bits of these, so a filter on all 64 would be passed by (CVE-2023-28100).
    return _masked(index, 0xFFFFFFFF, value)


def _masked(index: int, mask: int, value: int) -> dict[str, object]:
    return {"index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}
