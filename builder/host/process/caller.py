"""What a program would inherit from whoever calls Oven, taken back: a container is the same from
a login, from cron, from a daemon, and at the boot of the host."""

import contextlib
import ctypes
import os
import resource
import signal
from collections.abc import Mapping
from pathlib import Path

from builder.host.kernel.libc import libc

# Open files, cgroups, mounts, the working folder and the umask are seen to where they are used. Who
# is not root cannot take everything back: priorities only fall, and hard limits too.

FEW_FILES = 1024
"""A small limit keeps programs quick that close every possible descriptor."""
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "riscv64": 30}
_PR_SET_TIMERSLACK = 29
_SLACK = 50_000
"""Nanoseconds that the kernel gives the first process (prctl(2))."""
_COREDUMP = "0x33"
"""What the kernel writes into core dumps by default (core(5))."""


def plain_signals(keep: frozenset[int] = frozenset()) -> None:
    """Have no signal ignored or held back, but those that a caller may mean to keep away."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP} - keep:
        with contextlib.suppress(OSError, ValueError):  # the C library's own
            if signal.getsignal(number) is not signal.SIG_DFL:
                signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def plain_scheduling() -> None:
    """Run as any process does: the usual priority, on all processors, killed no sooner or later."""
    tries = (
        lambda: os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0)),
        lambda: os.setpriority(os.PRIO_PROCESS, 0, 0),
        # The kernel leaves out what there is not (sched_setaffinity(2)).
        lambda: os.sched_setaffinity(0, range(1024)),
        lambda: Path("/proc/self/oom_score_adj").write_text("0", encoding="ascii"),
        lambda: Path("/proc/self/coredump_filter").write_text(_COREDUMP, encoding="ascii"),
    )
    for one in tries:
        with contextlib.suppress(OSError):
            one()
    if (number := _IOPRIO_SET.get(os.uname().machine)) is not None:
        libc.syscall(ctypes.c_long(number), 1, 0, 0)  # of a process, this one, the usual class
    libc.prctl(_PR_SET_TIMERSLACK, ctypes.c_ulong(_SLACK), 0, 0, 0)
    libc.personality(ctypes.c_ulong(0))


def plain_files() -> None:
    """Have few files open by default: a program in Go gives what it starts its own first limit.

    So runc does, now and then, whatever it is told (https://github.com/opencontainers/runc/issues/4195).
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = FEW_FILES if hard == resource.RLIM_INFINITY else min(FEW_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, hard))


def hard_limits(wanted: Mapping[int, int]) -> dict[int, int]:
    """Say which hard limits a container gets, by the number of each: what is wanted, or our own.

    Ours are raised to that where this process may, since the OCI runtime inherits them.
    """
    given: dict[int, int] = {}
    for kind, limit in wanted.items():
        soft, hard = resource.getrlimit(kind)
        given[kind] = limit
        if hard != resource.RLIM_INFINITY and not 0 <= limit <= hard:
            try:
                resource.setrlimit(kind, (soft, limit))
            except (OSError, ValueError):
                given[kind] = hard
    return given
