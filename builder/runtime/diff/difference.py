"""The difference: what has changed in a container against its template, and between templates."""

import contextlib
import errno
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from builder.distros.package_manager import package_manager
from builder.host.overlayfs.layered import LayeredEntry, Layers, Pair
from builder.host.places import Places
from builder.host.trees.treeio import TREES_FAULT
from builder.model.errors import HostError
from builder.model.value import Value
from builder.runtime.bundle import names
from builder.runtime.diff.ignored import ignored_paths, matches
from builder.runtime.record.container import Container, check_name, rootfs_of
from builder.runtime.record.layout import LAYERS, UPPER
from builder.runtime.recovery import repair
from builder.runtime.storage import writable

TEXT_LIMIT = 1 << 20
"""Bytes of the largest file whose lines are compared."""

"""In files that Oven writes unless the container has its own; see `room`."""

_KINDS = {
    stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link", stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket", stat.S_IFCHR: "device", stat.S_IFBLK: "device",
}  # fmt: skip


class DiffRow(Value, frozen=True, kw_only=True):
    """A path that differs."""

    path: str
    """From the root, without a leading `/`."""
    what: Literal["added", "changed", "deleted"]
    kind: str
    """file, folder, link, fifo, socket or device: what is there now, or was."""
    of: tuple[str, ...] = ()
    """What has changed: kind, content, target, mode, owner, attributes."""
    mode: int
    uid: int
    gid: int
    size: int
    """Bytes of a file; 0 otherwise."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A row, and where to read what it is about."""

    row: DiffRow
    pair: Pair


@contextlib.contextmanager
def opened(places: Places, name: str) -> Iterator[tuple[Container, Layers]]:
    """Look at a container's layers on its template, whether or not it runs."""
    check_name(name)
    with contextlib.ExitStack() as lock, contextlib.ExitStack() as stack:
        container = lock.enter_context(repair.holding(places, name)).record
        area = stack.enter_context(writable.opened(places, container))
        folders = (area / UPPER, *(area / LAYERS / layer for layer in container.layers))
        layers = stack.enter_context(layers_on(folders, rootfs_of(places, container)))
        if writable.image_of(places, name) is None:
            # All layers are open, and may get other names from now on.
            lock.close()
        yield container, layers


def layers_on(folders: tuple[Path, ...], base: Path, *, shows: bool = True) -> Layers:
    """Open layers; HostError when one of them is not there."""
    try:
        return Layers(folders, base, shows=shows)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise HostError("a layer or the template is not there", at=Path(error.filename)) from error


def differences(
    layers: Layers, container: Container | None = None, *, everything: bool = False
) -> Iterator[Difference]:
    """Give what differs, by path; what is noise only with `everything`."""
    ignored = () if everything else ignored_paths(package_manager(layers))
    try:
        for pair in layers.touched():
            with _moving():
                row = row_of(pair)
                if row is None:
                    continue
                if everything or not (matches(pair.path, ignored) or _is_ovens(pair, container)):
                    yield Difference(row, pair)
    except BlockingIOError as error:
        raise HostError("a file cannot be compared: somebody holds a lease on it") from error
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise HostError("folders are nested too deeply to be compared") from error


def row_of(pair: Pair) -> DiffRow | None:
    """Compare the two sides of a pair; None when they are equal but for their times."""
    below, seen = pair.below, pair.seen
    if seen is None:
        return _row(pair.path, "deleted", below) if below is not None else None
    if below is None:
        return _row(pair.path, "added", seen)
    aspects = tuple(_aspects(below, seen))
    return _row(pair.path, "changed", seen, aspects) if aspects else None


def same(one: LayeredEntry | None, other: LayeredEntry | None) -> bool:
    """Tell whether two things are equal but for their times."""
    if one is None or other is None:
        return one is other
    return not any(_aspects(one, other))


def kind_of(found: LayeredEntry) -> str:
    """Say in a word what something is."""
    return _KINDS[stat.S_IFMT(found.status.st_mode)]


def same_content(one: LayeredEntry, other: LayeredEntry) -> bool:
    """Compare two regular files byte by byte."""
    if one.status.st_size != other.status.st_size:
        return False
    # All pieces but the last are equally long.
    return all(a == b for a, b in zip(one.pieces(), other.pieces(), strict=False))


def text_of(found: LayeredEntry | None) -> list[str] | None:
    """Give the lines of a text; None when it is none, or too long. Nothing at all is no line."""
    if found is None:
        return []
    if not found.is_file:
        return None
    try:
        data = found.read(TEXT_LIMIT)
    except OSError:
        return None
    if b"\0" in data:
        return None
    try:
        return data.decode().splitlines(keepends=True)
    except UnicodeDecodeError:
        return None


def _aspects(below: LayeredEntry, seen: LayeredEntry) -> Iterator[str]:
    one, other = below.status, seen.status
    if (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino):
        return
    if stat.S_IFMT(one.st_mode) != stat.S_IFMT(other.st_mode):
        yield "kind"
        return
    if seen.is_file and not same_content(below, seen):
        yield "content"
    link = stat.S_ISLNK(one.st_mode)
    if link and below.target() != seen.target():
        yield "target"
    if stat.S_IFMT(one.st_mode) in {stat.S_IFCHR, stat.S_IFBLK} and one.st_rdev != other.st_rdev:
        yield "content"
    if not link and stat.S_IMODE(one.st_mode) != stat.S_IMODE(other.st_mode):
        yield "mode"
    if (one.st_uid, one.st_gid) != (other.st_uid, other.st_gid):
        yield "owner"
    if below.attributes() != seen.attributes():
        yield "attributes"


def _row(
    path: str,
    what: Literal["added", "changed", "deleted"],
    found: LayeredEntry,
    aspects: tuple[str, ...] = (),
) -> DiffRow:
    status = found.status
    return DiffRow(
        path=path,
        what=what,
        kind=kind_of(found),
        of=aspects,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        size=status.st_size if found.is_file else 0,
    )


def _is_ovens(pair: Pair, container: Container | None) -> bool:
    """Tell whether a file is as Oven itself has written it."""
    if container is None or pair.seen is None or not pair.seen.is_file:
        return False
    if pair.path in {"etc/hosts", "etc/resolv.conf"}:
        return names.is_only_ours(pair.seen.read(TEXT_LIMIT))
    if pair.path == "etc/hostname":
        # Empty it is after a change of name, until the next start.
        return pair.seen.read(TEXT_LIMIT).strip() in (b"", container.hostname.encode())
    return False


@contextlib.contextmanager
def _moving() -> Iterator[None]:
    """Leave out what a running container takes away while it is looked at."""
    try:
        yield
    except OSError as error:
        if error.errno not in TREES_FAULT - {errno.ENAMETOOLONG}:
            raise
