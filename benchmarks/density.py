"""Many containers: how fast they start and come and go, and how much memory each takes."""

import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench import OVEN
from benchmarks.runtimes import HOME, NAME, Peers, quiet, until_ready

TEMPLATE = "debian-bookworm"
LOOPS = 4


@dataclass(frozen=True)
class Density:
    """What each of many containers took."""

    seconds: float
    """From the first start until the last is ready, for each."""
    megabytes: float
    """For each beyond the first."""


def oven(count: int) -> Density:
    """Start containers of Oven with one command."""
    names = [f"{NAME}-{number}" for number in range(count + 1)]
    try:
        for name in names:
            _oven("create", name, TEMPLATE, "--network", "none")
        _oven("start", names[0])
        before, started = used(), time.perf_counter()
        _oven("start", *names[1:])
        seconds = time.perf_counter() - started
        return Density(seconds / count, (used() - before) / count / 1e6)
    finally:
        quiet(OVEN, "destroy", "--force", *names, env=HOME, fails=True)


def lxc(peers: Peers, count: int) -> Density:
    """Start containers of LXC, one after the other, and wait for all."""
    names = [f"{NAME}-{number}" for number in range(count + 1)]
    at = ("-P", str(peers.lxc_for(names[0])), "-n")
    for name in names[1:]:
        peers.lxc_for(name)
    try:
        quiet("lxc-start", *at, names[0])
        quiet("sh", "-c", until_ready(at[1], names[0]))
        before, started = used(), time.perf_counter()
        for name in names[1:]:
            quiet("lxc-start", *at, name)
        for name in names[1:]:
            quiet("sh", "-c", until_ready(at[1], name))
        seconds = time.perf_counter() - started
        return Density(seconds / count, (used() - before) / count / 1e6)
    finally:
        for name in names:
            quiet("lxc-stop", "--kill", *at, name, fails=True)


def used() -> int:
    """Give the bytes of memory that are in use and cannot be had back, kernel included.

    What of files is only cached is not counted; programs are mapped from pages that all share.
    """
    time.sleep(2)  # what has just started still settles
    subprocess.run(["sync"], check=True)
    Path("/proc/sys/vm/drop_caches").write_text("3")
    return in_use(Path("/proc/meminfo").read_text())


def in_use(meminfo: str) -> int:
    """Reckon it from what the kernel tells (proc_meminfo(5))."""
    found = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in meminfo.splitlines()}
    cached = found["Buffers"] + found["Cached"] - found["Shmem"] + found["SReclaimable"]
    return found["MemTotal"] - found["MemFree"] - cached


def names(count: int) -> list[str]:
    """Give names for so many containers."""
    return [f"{NAME}-{number}" for number in range(count)]


def make(wanted: Sequence[str]) -> None:
    """Make containers of these names."""
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda name: _oven("create", name, TEMPLATE, "--network", "none"), wanted))


def remove(names: Sequence[str]) -> None:
    """Remove containers."""
    quiet(OVEN, "destroy", "--force", *names, env=HOME, fails=True)


def churn(turns: int) -> float:
    """Create, start and destroy containers in loops side by side; give seconds for each.

    Raises RuntimeError when a command fails.
    """

    def loop(number: int) -> None:
        for turn in range(turns // LOOPS):
            name = f"{NAME}-{number}-{turn}"
            _oven("create", name, TEMPLATE)
            _oven("start", name)
            _oven("destroy", "--force", name)

    started = time.perf_counter()
    try:
        with ThreadPoolExecutor(LOOPS) as pool:
            list(pool.map(loop, range(LOOPS)))
        seconds = (time.perf_counter() - started) / turns
    except RuntimeError:
        remove([f"{NAME}-{number}-{turn}" for number in range(LOOPS) for turn in range(turns)])
        raise
    if listed := _oven("list", "--quiet").split():
        raise RuntimeError(f"left over: {', '.join(listed)}")
    return seconds


def _oven(*arguments: str) -> str:
    return quiet(OVEN, *arguments, env=HOME)
