"""What commands leave on a machine: a test looks before and after."""

import os
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Traces:
    """What commands may leave on a machine beyond the files that are their result."""

    mounts: frozenset[str]
    processes: frozenset[str]
    cgroups: frozenset[str]
    interfaces: frozenset[str]
    drafts: frozenset[str]

    @classmethod
    def of(cls, home: Path) -> "Traces":
        """Look at this machine, for what belongs to commands that ran with this home."""
        return cls(
            mounts=_mounts(home),
            processes=_processes(home),
            cgroups=_cgroups(),
            interfaces=_interfaces(),
            drafts=_drafts(home),
        )

    def beyond(self, before: "Traces") -> dict[str, frozenset[str]]:
        """Give what is here and was not before."""
        found = {
            name: getattr(self, name) - getattr(before, name) for name in self.__dataclass_fields__
        }
        return {name: new for name, new in found.items() if new}


def left_over(home: Path, before: Traces, *, patience: float = 10) -> dict[str, frozenset[str]]:
    """Give what commands left; what the kernel is still taking apart gets a moment."""
    deadline = time.monotonic() + patience
    while (new := Traces.of(home).beyond(before)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return new


def _mounts(home: Path) -> frozenset[str]:
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if f" {home}/" in line)


def _processes(home: Path) -> frozenset[str]:
    """Find processes by the OVEN_HOME that they inherited, or by what they were told."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes()
            zombie = ") Z " in (folder / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if os.fsencode(home) in words and not zombie and folder.name != str(os.getpid()):
            cmdline = (folder / "cmdline").read_bytes() if folder.exists() else b""
            found.add(f"{folder.name} {cmdline.decode(errors='replace')}")
    return frozenset(found)


def _cgroups() -> frozenset[str]:
    root = Path("/sys/fs/cgroup")
    patterns = ("oven/*", "*/oven/*", "oven.slice/*")
    return frozenset(str(path) for one in patterns for path in root.glob(one) if path.is_dir())


def _interfaces() -> frozenset[str]:
    """Name interfaces that came with containers; the bridge of a network may stay."""
    folder = Path("/sys/class/net")
    return frozenset(path.name for path in folder.iterdir() if not (path / "bridge").exists())


def _drafts(home: Path) -> frozenset[str]:
    """Find files that are not whole, which belong to nobody once their process is dead."""
    patterns = (
        "cache/v1/drafts/*/*",
        "templates/drafts/*/*",
        "containers/run.*",
        "containers/new.*",
        "containers/old.*",
    )
    return frozenset(str(path) for one in patterns for path in home.glob(one))
