"""Ids: the range of the host's ids that is one container's, whichever home of Oven it is in."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from builder.host.places import Places
from builder.host.trees import durable
from builder.model.errors import HostError
from builder.runtime.record import layout
from builder.runtime.record.container import IDS, Container
from builder.runtime.record.layout import folder_of

# Records tell which ranges the containers of one home have. What those of other homes have is told
# by claims: files named after the first id, with the folder of the container. They are gone after
# a boot, and one that a killed command left is taken over by who needs it next. A container whose
# range somebody else has claimed meanwhile, or a user of the host has been given, starts with
# another one: its files lie on the disk with owners from 0 on.

CLAIMS = Path("/run/oven/ids")

_FIRST = 0x24000000
"""Beyond what useradd gives to users, which ends at 600100000 (login.defs(5), SUB_UID_MAX)."""
_LAST = (1 << 31) - 1
"""Some programs keep ids in a signed 32-bit number."""
_YOUNG = 60.0
"""Seconds in which a claim holds although its container is not there yet."""


class _OwnIds(msgspec.Struct, rename="kebab"):
    """The one part of a record that choosing ids needs; damage elsewhere must not hide it."""

    first_id: int
    ids: int = IDS


def claim(places: Places, container: Container) -> int:
    """Find the first range that no container and no user of this host has; give its first id.

    An ordinary user has but one, which begins at 0 in the namespace that containers are made in.
    """
    if places.ordinary:
        return 0
    with durable.locked(CLAIMS / ".lock"):
        return _claim(places, container)


def hold(places: Places, container: Container) -> Container:
    """Claim the range of a container that is to start, or another one where that is taken.

    A range that a user may map as well would let that user's processes act as the container's root,
    and on its processes.
    """
    if places.ordinary:
        return container
    with durable.locked(CLAIMS / ".lock"):
        first = container.first_id
        if _is_free(places, container, first) and user_of(container) is None:
            _write(places, container, container.name)
            return container
        first = _claim(places, container)
    return msgspec.structs.replace(container, first_id=first)


def release(places: Places, container: Container) -> None:
    """Let others have the range of a container that is gone."""
    if not places.ordinary and (CLAIMS / str(container.first_id)).exists():
        with durable.locked(CLAIMS / ".lock"):
            for path in _claims(container, container.first_id):
                if _holder(path) == str(folder_of(places, container.name)):
                    path.unlink(missing_ok=True)


def pass_on(places: Places, container: Container, before: Path, after: Path) -> None:
    """Let a container keep its range when its folder is called something else."""
    path = CLAIMS / str(container.first_id)
    if not places.ordinary and path.exists():
        with durable.locked(CLAIMS / ".lock"):
            if _holder(path) == str(before):
                _write(places, container, after.name)


def user_of(container: Container) -> str | None:
    """Name a user of the host who may map ids of a container's range, too."""
    own = container.first_id
    for name, start, count in _subordinate():
        if start < own + container.ids and own < start + count:
            return name
    return None


def _claim(places: Places, container: Container) -> int:
    users = ((start, count) for _, start, count in _subordinate())
    taken = [*_of_containers(places.data / "containers", container.name), *users]
    for first in _between(taken, container.ids):
        if _is_free(places, container, first):
            _write(places, msgspec.structs.replace(container, first_id=first), container.name)
            return first
    raise HostError(
        f"no range of {container.ids} ids is free", hint="destroy containers that are not needed"
    )


def _between(taken: list[tuple[int, int]], count: int) -> Iterator[int]:
    """Give ranges of so many ids that touch none of these, the lowest first."""
    first = _FIRST
    for start, others in sorted(taken):
        while first + count <= min(start, _LAST):
            yield first
            first += IDS
        if start + others > first:
            first += -(-(start + others - first) // IDS) * IDS
    yield from range(first, _LAST - count, IDS)


def _claims(container: Container, first: int) -> Iterator[Path]:
    """Give the claim of each 65536 ids of a range."""
    return (CLAIMS / str(one) for one in range(first, first + container.ids, IDS))


def _is_free(places: Places, container: Container, first: int) -> bool:
    ours = str(folder_of(places, container.name))
    return all(_is_ours_or_nobodys(path, ours) for path in _claims(container, first))


def _is_ours_or_nobodys(path: Path, ours: str) -> bool:
    holder = _holder(path)
    if holder in ("", ours):
        return True
    try:
        record = (Path(holder) / layout.RECORD).read_bytes()
        own = msgspec.json.decode(record, type=_OwnIds)
        return not own.first_id <= int(path.name) < own.first_id + own.ids
    except (FileNotFoundError, NotADirectoryError):
        return time.time() - path.stat().st_mtime > _YOUNG
    except msgspec.MsgspecError:
        return False


def _holder(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return ""


def _write(places: Places, container: Container, name: str) -> None:
    folder = str(folder_of(places, name))
    for path in _claims(container, container.first_id):
        path.write_text(folder, encoding="utf-8", errors="surrogateescape")


def _of_containers(containers: Path, but: str = "") -> Iterator[tuple[int, int]]:
    try:
        names = os.listdir(containers)
    except FileNotFoundError:
        return
    for name in names:
        record = containers / name / layout.RECORD
        try:
            data = record.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            continue
        try:
            own = msgspec.json.decode(data, type=_OwnIds)
        except msgspec.MsgspecError as error:
            # Its ids may be in use, and nobody can tell which they are.
            raise HostError(
                f"the record of container `{name}` is damaged: {error}",
                at=record,
                hint="restore it, or remove the container's folder",
            ) from error
        if name != but:
            yield own.first_id, own.ids


def _subordinate() -> Iterator[tuple[str, int, int]]:
    """Read which ids users may map (subuid(5)): `name:first:count`."""
    for table in ("/etc/subuid", "/etc/subgid"):
        try:
            text = Path(table).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            continue
        for line in text.splitlines():
            fields = line.strip().split(":")
            if len(fields) == 3 and fields[1].isdecimal() and fields[2].isdecimal():
                yield fields[0], int(fields[1]), int(fields[2])
