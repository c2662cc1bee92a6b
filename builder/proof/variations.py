"""Which conditions two builds get that must give the same bytes, and which stay as they are."""

import os
from dataclasses import dataclass
from pathlib import Path

from builder.host.sandbox.variations import (
    HIGH_ID,
    kind_of,
    why_disk_stays,
    why_ids_stay,
    why_uptime_stays,
)
from builder.model.trial import Conditions

GROWTH = 10
"""So many bytes a build takes up for each byte of its packages, at most."""

LEAST = 256 << 20
"""Bytes that a build takes up besides."""

DAYS_UP = 400

FIRST_ENV = {"TZ": "UTC", "LC_ALL": "C.UTF-8", "HOME": "/root", "PYTHONHASHSEED": "1"}
SECOND_ENV = {
    "TZ": "Pacific/Chatham",
    "LC_ALL": "tr_TR.UTF-8",
    "LANG": "tr_TR.UTF-8",
    "HOME": "/nonexistent",
    "USER": "somebody",
    "PYTHONHASHSEED": "4242",
    "SOURCE_DATE_EPOCH": "1",
}


@dataclass(frozen=True, slots=True)
class VariationPlan:
    """Two sets of conditions, and how they are told to people."""

    folders: tuple[Path, Path]
    conditions: tuple[Conditions, Conditions]
    disk: Path | None
    """Where a disk in memory is mounted for the second build; None for none."""
    size: int
    """Bytes that it may hold."""
    rows: tuple[tuple[str, str, str], ...]
    """What is not the same in both, and how it is in each."""
    kept: tuple[tuple[str, str], ...]
    """What is the same in both, and why."""


def plan_conditions(draft: Path, elsewhere: Path, packages: int, *, jobs: int) -> VariationPlan:
    """Choose all that this machine and this user can have otherwise; `packages` are bytes.

    `draft` is a folder on the store's disk, `elsewhere` one where a disk may be mounted.
    """
    needed = packages * GROWTH + LEAST
    no_memory = why_disk_stays(needed)
    disk = None if no_memory else elsewhere
    folders = (draft / "1", Path(disk or draft, "another/and/a/longer/path/" * 3))
    stays = {
        "owner ids": why_ids_stay(folders[1] if no_memory else None),
        "order in folders": no_memory,
        "uptime": why_uptime_stays(),
    }
    first = Conditions(jobs=max(2, jobs), env=FIRST_ENV)
    second = Conditions(
        first_id=HIGH_ID if stays["owner ids"] is None else None,
        processors=1,
        jobs=1,
        umask=0o077,
        hostname="another-host",
        uptime=DAYS_UP * 86400 if stays["uptime"] is None else 0,
        env=SECOND_ENV,
    )
    rows = _rows((first, second))
    rows["folder"] = (_ended(folders[0]), _ended(folders[1]))
    rows["order in folders"] = (f"as {kind_of(draft)} has it", "as tmpfs has it: the newest first")
    kept = [(what, why) for what, why in stays.items() if why is not None]
    kept.append(("date", "no namespace of the kernel has one; prove it again on another day"))
    kept.append(("kernel", os.uname().release))
    return VariationPlan(
        folders=folders,
        conditions=(first, second),
        disk=disk,
        size=needed,
        rows=tuple((what, *two) for what, two in rows.items() if stays.get(what) is None),
        kept=tuple(kept),
    )


def _rows(both: tuple[Conditions, Conditions]) -> dict[str, tuple[str, str]]:
    """Tell each condition of the two builds as people read it."""
    first, second = both
    processors = len(os.sched_getaffinity(0))
    return {
        "owner ids": ("root is 0, as seen from here", f"root is {second.first_id}"),
        "folder": ("", ""),
        "order in folders": ("", ""),
        "processors": (f"{processors}, {first.jobs} jobs", "1, 1 job"),
        "locale": (first.env["LC_ALL"], second.env["LC_ALL"]),
        "time zone": (first.env["TZ"], second.env["TZ"]),
        "umask": (f"{first.umask:03o}", f"{second.umask:03o}"),
        "host name": (os.uname().nodename, second.hostname or ""),
        "uptime": ("this machine's", f"{second.uptime // 86400} days more"),
        "hash seed": (first.env["PYTHONHASHSEED"], second.env["PYTHONHASHSEED"]),
        "variables": ("HOME", "HOME, USER, LANG, SOURCE_DATE_EPOCH"),
    }


def _ended(path: Path) -> str:
    text = str(path)
    return text if len(text) < 40 else f"…{text[-38:]} ({len(text)} bytes)"
