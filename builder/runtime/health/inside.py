"""Probes of what is in a container: units and commands, which run there, and files and disks."""

import os
import time
from collections.abc import Callable, Mapping

from builder.host.places import Places
from builder.host.trees.treeio import TREES_FAULT, TreeIO
from builder.model.errors import OvenError
from builder.model.health import HealthProbe, Kind, seconds
from builder.runtime.access.exec import capture
from builder.runtime.bundle import lookup

_SHOWN = 200
"""Characters of what a command printed."""
_READ = 1 << 20
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def ask(places: Places, name: str, pid: int, probe: HealthProbe) -> str:
    """Give why something in a running container is not as it should be; nothing when it is."""
    try:
        if probe.kind in _RUN:
            return _RUN[probe.kind](places, name, probe)
        with lookup.root_of(name, pid) as tree:
            return _LOOK[probe.kind](tree, probe)
    except OvenError as error:
        return error.problem
    except OSError as error:
        if error.errno not in TREES_FAULT:
            raise
        return f"`{probe.path}` cannot be looked at: {error.strerror}"


def _unit(places: Places, name: str, probe: HealthProbe) -> str:
    unit = probe.unit or ""
    argv = ("systemctl", "show", "--property=ActiveState,SubState,Result", "--", unit)
    _, said = capture(places, name, argv, timeout=probe.seconds)
    facts = dict(line.partition("=")[::2] for line in said.splitlines())
    active = facts.get("ActiveState", "unknown")
    if active in {"active", "reloading"}:
        return ""
    result = facts.get("Result", "success")
    why = result if result != "success" else facts.get("SubState", "")
    return f"`{unit}` is {active}" + (f" ({why})" if why and why != active else "")


def _exec(places: Places, name: str, probe: HealthProbe) -> str:
    code, said = capture(places, name, probe.command, timeout=probe.seconds)
    if code != 0:
        last = said.strip().rpartition("\n")[2][:_SHOWN]
        return f"`{probe.command[0]}` ended with {code}" + (f": {last}" if last else "")
    if probe.contains not in said:
        return f"`{probe.command[0]}` did not print `{probe.contains}`"
    return ""


def _disk(tree: TreeIO, probe: HealthProbe) -> str:
    with tree.handle(probe.path or "/") as handle:
        found = os.fstatvfs(handle)
    size, free = found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
    wanted, unit = int((probe.free or "0%")[:-1]), (probe.free or "0%")[-1]
    least = size * wanted // 100 if unit == "%" else wanted * _UNITS[unit]
    if free >= least:
        return ""
    percent = 100 * free // size if size else 0
    where = probe.path or "/"
    return f"of the disk of `{where}` {free >> 20} MiB ({percent}%) are free, not {probe.free}"


def _file(tree: TreeIO, probe: HealthProbe) -> str:
    with tree.handle(probe.path) as handle:
        age = time.time() - os.fstat(handle).st_mtime
    if probe.age and age > seconds(probe.age):
        return f"`{probe.path}` is {_span(age)} old, not {probe.age} at most"
    if probe.contains:
        with tree.opened(probe.path, follow=True) as fd:
            if probe.contains.encode() not in os.read(fd, _READ):
                return f"`{probe.path}` does not contain `{probe.contains}`"
    return ""


def _span(age: float) -> str:
    for unit, length in (("h", 3600), ("m", 60)):
        if age >= 2 * length:
            return f"{age / length:.0f}{unit}"
    return f"{age:.0f}s"


_RUN: Mapping[Kind, Callable[[Places, str, HealthProbe], str]] = {"unit": _unit, "exec": _exec}
_LOOK: Mapping[Kind, Callable[[TreeIO, HealthProbe], str]] = {"disk": _disk, "file": _file}
