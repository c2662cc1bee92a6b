"""Looking this machine over for settings with which a promise about containers is worth less."""

import contextlib
from pathlib import Path

from builder.host.checks.machine import Check

_BRIDGED = "frames between containers also pass other rules of the host, which may change them"

_SETTINGS = (
    # Setting, what it is when it weakens, what it should be, and what it means otherwise.
    ("fs/protected_symlinks", "0", "1", "programs of root follow links that others put into /tmp"),
    ("fs/protected_hardlinks", "0", "1", "users may link to files that they cannot read"),
    ("kernel/dmesg_restrict", "0", "1", "users read the kernel's log"),
    ("kernel/unprivileged_bpf_disabled", "0", "2", "users load programs into the kernel"),
    ("net/bridge/bridge-nf-call-iptables", "1", "0", _BRIDGED),
    ("net/bridge/bridge-nf-call-ip6tables", "1", "0", _BRIDGED),
    ("net/bridge/bridge-nf-call-arptables", "1", "0", _BRIDGED),
)
"""Documentation/admin-guide/sysctl of the kernel; what a kernel does not have, weakens nothing."""


def settings(folder: Path = Path("/proc/sys")) -> Check:
    """Look at settings that distributions have as they should be, and that somebody may change."""
    means: dict[str, list[str]] = {}
    better = []
    for name, bad, good, meaning in _SETTINGS:
        with contextlib.suppress(OSError):
            if (folder / name).read_text(encoding="ascii").strip() == bad:
                dotted = name.replace("/", ".")
                means.setdefault(meaning, []).append(f"{dotted}={bad}")
                better.append(f"{dotted}={good}")
    if not better:
        return Check(name="kernel settings", state="ok", found="none weakens a promise")
    return Check(
        name="kernel settings",
        state="warn",
        found="; ".join(f"{', '.join(which)}: {meaning}" for meaning, which in means.items()),
        fix=f"sysctl -w {' '.join(better)}",
    )
