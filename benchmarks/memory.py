"""The most memory that a command and all its children use at one time."""

import ctypes
import os
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from benchmarks.runner import Contender

# The sum of what is proportionally each process's (PSS, proc(5)) counts a shared page once, however
# many share it, and needs no cgroup. The cache of the disk's pages belongs to nobody and is left
# out. It is looked at every few milliseconds, so a shorter peak is missed, whoever has it.

PAUSE = 0.02
"""Seconds between two looks."""

_PR_SET_CHILD_SUBREAPER = 36


def peak(contender: Contender) -> float:
    """Run a command; give its peak in megabytes (of a million bytes)."""
    # Whoever loses a parent becomes our child, and stays among those that are counted (prctl(2)).
    # Not for longer: we wait for none of these, and a namespace of processes ends with its last.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        return _peak(contender)
    finally:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def _peak(contender: Contender) -> float:
    contender.before()
    ended, most = threading.Event(), [0]
    process = subprocess.Popen(
        contender.argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **contender.env},
    )

    def watch() -> None:
        while not ended.wait(PAUSE):
            most[0] = max(most[0], sum(map(_pss, _children_of(os.getpid()))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    said, _ = process.communicate()
    ended.set()
    watcher.join()
    contender.after()
    if process.returncode != 0:
        text = said.decode(errors="replace")
        sys.exit(f"\n{contender.name}: status {process.returncode}\n{text}")
    return most[0] / 1e6


def _children_of(ancestor: int) -> Iterator[int]:
    """Name all processes below one."""
    children: dict[int, list[int]] = defaultdict(list)
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                status = (folder / "stat").read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue  # it has ended
            children[int(status.rpartition(")")[2].split()[1])].append(int(folder.name))
    left = list(children[ancestor])
    while left:
        process = left.pop()
        left += children[process]
        yield process


def _pss(process: int) -> int:
    """Give a process's share of memory in bytes; none when it has ended."""
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    found = [line.split()[1] for line in text.splitlines() if line.startswith("Pss:")]
    return int(found[0]) * 1024 if found else 0
