"""The OCI runtime: which one works on this host, and how it is called."""

import contextlib
from pathlib import Path

import msgspec

from builder.host import pids
from builder.host.kernel import hierarchies
from builder.host.places import Places
from builder.host.programs import PROMPT, Command, find_program, missing_program, on_host
from builder.host.trees import durable
from builder.model.errors import HostError
from builder.runtime.record import layout, state
from builder.runtime.record.container import all_names
from builder.runtime.record.layout import volatile_of
from builder.runtime.record.state import State

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


def command(engine: Path, places: Places, name: str, log: Path) -> tuple[str, ...]:
    """Begin a command line; the runtime's own records go with the container's volatile folder."""
    root = volatile_of(places, name) / layout.RUNTIME
    return (str(engine), "--root", str(root), "--log", str(log), "--log-format", "json")


def keep(places: Places, engine: Path) -> str:
    """Have a copy of a runtime, for containers that go on when its package is removed.

    No other runtime can read its records. Gives the name of the copy, of which there is one of each
    build; nothing where the disk has no room for it, which keeps no container from starting.
    """
    status = engine.stat()
    name = f"{engine.name}-{status.st_size:x}-{status.st_mtime_ns:x}"
    copy = _kept(places, name)
    if not copy.exists():
        try:
            _copy(engine, copy)
        except OSError:
            return ""
        _forget_others(places, name)
    return name


def of_container(places: Places, name: str, current: State) -> Path:
    """Give the runtime that a container was started with; raises HostError when it is gone."""
    if not current.engine:
        return find(places)  # started by an Oven that wrote none down
    for path in (Path(current.engine), _kept(places, current.engine_copy)):
        if path.is_file():
            return path
    program = Path(current.engine).name
    raise HostError(
        f"container `{name}` was started with `{program}`, which is not installed any more",
        hint=f"install it again, or `oven restart {name}`",
    )


def complaint(log: Path) -> str | None:
    """Give the runtime's own last error; None when what failed was the program inside."""
    try:
        data = log.read_bytes()
    except FileNotFoundError:
        return None
    errors = []
    for line in data.splitlines():
        with contextlib.suppress(msgspec.MsgspecError):  # the last one may be half written
            said = msgspec.json.decode(line, type=_Line)
            errors += [said.msg] if said.level == "error" else []
    return errors[-1] if errors else None


def _kept(places: Places, name: str) -> Path:
    return places.data / "engines" / (name or "none")


def _copy(engine: Path, copy: Path) -> None:
    durable.private(copy.parent)
    with durable.draft_of(copy) as draft:
        import shutil  # done once for each version of it

        shutil.copyfile(engine, draft)
        draft.chmod(0o700)
        draft.rename(copy)


def _forget_others(places: Places, name: str) -> None:
    """Remove the copies that no container runs with."""

    used = {name}
    for container in all_names(places):
        if (current := state.read(places, container)) is not None:
            used.add(current.engine_copy)
    for path in _kept(places, name).parent.iterdir():
        if path.name not in used and not path.name.startswith("."):
            path.unlink(missing_ok=True)


def _crun_version(places: Places, crun: Path) -> tuple[int, ...]:
    """Ask crun for its version, once per boot and installed file."""
    status = crun.stat()
    about = f"{pids.boot_id()} {status.st_mtime_ns} {status.st_size}"
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
