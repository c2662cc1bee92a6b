"""What commands leave on a machine: a test looks before and after."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from builder.host.places import Places
from builder.runtime.network.addresses import meter_of
from builder.runtime.network.bridges import FOLDER
from builder.runtime.network.leases import Ledger


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
            cgroups=_cgroups(home),
            interfaces=_interfaces(home),
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


def _cgroups(home: Path) -> frozenset[str]:
    """Find those of this home's containers, and those of name servers that no other home uses."""
    mark = Places(data=home, cache=home, runtime=home, settings=()).mark
    others = _of_others(home)
    root = Path("/sys/fs/cgroup")
    patterns = ("oven/*", "*/oven/*", "oven.slice/*")
    found = (path for one in patterns for path in root.glob(one) if path.is_dir())
    return frozenset(
        str(path)
        for path in found
        if (_is_unused_server(path.name, others) and not _is_of_another_machine(path))
        or path.suffix == f".{mark}"
    )


def _is_of_another_machine(cgroup: Path) -> bool:
    """Tell whether a cgroup is of somebody who shares the kernel with us, and no process."""
    try:
        return "0" in (cgroup / "cgroup.procs").read_text(encoding="ascii").split()
    except OSError:  # it has just been removed
        return False


def _is_unused_server(name: str, others: frozenset[str]) -> bool:
    return name.startswith("_names.") and name.split(".")[1] not in others


def _interfaces(home: Path) -> frozenset[str]:
    """Name interfaces that came with containers; the bridge of a network may stay.

    What other programs of this machine make, such as LXC, is none of ours.
    """
    found = {
        path.name for path in Path("/sys/class/net").glob("oven*") if not (path / "bridge").exists()
    }
    return frozenset(found - _of_others(home))


def _of_others(home: Path) -> frozenset[str]:
    """Name the interfaces and bridges that are in use by containers of other homes."""
    state = Ledger(FOLDER).load()
    bridges = {one.bridge for one in state.segments if not one.key.startswith(f"{home}/")}
    cables = {one.interface for one in state.leases if not one.segment.startswith(f"{home}/")}
    return frozenset(bridges | cables | {meter_of(cable) for cable in cables})


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
