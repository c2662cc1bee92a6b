"""The OCI runtime: which one works on this host, and how it is called."""

from pathlib import Path

import msgspec

from builder.host import hierarchies, processes
from builder.host.places import Places
from builder.host.process import PROMPT, Command, find_program, missing_program, on_host
from builder.runtime.container import volatile_of

_CRUN_FLOOR = (1, 25)
"""Older ones follow links of the image at `/dev` (CVE-2025-31133 and kin)."""


class _Line(msgspec.Struct):
    """What matters in a line of a runtime's log."""

    level: str = ""
    msg: str = ""


def find(places: Places) -> Path:
    """Choose the runtime: crun is quicker, but refuses hosts whose version 2 has controllers."""
    runc = find_program("runc")
    if hierarchies.layout() is hierarchies.Layout.LEGACY:
        if runc is None:
            raise missing_program("runc")
        return runc
    crun = find_program("crun")
    if crun is not None and (runc is None or _crun_version(places, crun) >= _CRUN_FLOOR):
        return crun
    if runc is None:
        raise missing_program("runc")
    return runc


def is_too_old(places: Places, path: Path) -> bool:
    """Tell whether images can lead a runtime astray, which is used only where there is no other."""
    return path.name == "crun" and _crun_version(places, path) < _CRUN_FLOOR


def command(places: Places, name: str, log: Path) -> tuple[str, ...]:
    """Begin a command line; the runtime's own records go with the container's volatile folder."""
    root = volatile_of(places, name) / "oci"
    return (str(find(places)), "--root", str(root), "--log", str(log), "--log-format", "json")


def complaint(log: Path) -> str | None:
    """Give the runtime's own last error; None when what failed was the program inside."""
    try:
        data = log.read_bytes()
    except FileNotFoundError:
        return None
    lines = [msgspec.json.decode(line, type=_Line) for line in data.splitlines()]
    errors = [line.msg for line in lines if line.level == "error"]
    return errors[-1] if errors else None


def _crun_version(places: Places, crun: Path) -> tuple[int, ...]:
    """Ask crun for its version, once per boot and installed file."""
    status = crun.stat()
    about = f"{processes.boot_id()} {status.st_mtime_ns} {status.st_size}"
    cached = places.runtime / "crun-version.json"
    try:
        known, version = msgspec.json.decode(cached.read_bytes(), type=tuple[str, tuple[int, ...]])
        if known == about:
            return version
    except (FileNotFoundError, msgspec.MsgspecError):
        pass
    words = (
        on_host(Command((str(crun), "--version"), limit=PROMPT))
        .stdout.decode(errors="replace")
        .split()
    )
    digits = words[2].split(".")[:2] if len(words) > 2 else []
    version = tuple(int(part) for part in digits if part.isdigit())
    cached.parent.mkdir(parents=True, exist_ok=True)
    cached.write_bytes(msgspec.json.encode((about, version)))
    return version
