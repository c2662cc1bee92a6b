"""Tar streams of what is in a tree, and into one: nothing in them leads out of it."""

import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO

from builder.host import copying
from builder.host.copying import Manner, Place
from builder.host.treeio import TreeIO
from builder.model.errors import RecipeError

_PIECE = 1 << 20
_ALL_TIME = float(1 << 32)
"""Seconds; what a stream says beyond them is no time of a file."""


def write(stream: int, tree: TreeIO, path: str, manner: Manner) -> None:
    """Write a file, or a folder with all in it, to a descriptor."""
    whole = path.rstrip("/")
    with (
        open(stream, "wb", closefd=False) as file,
        tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as archive,
    ):
        if path.endswith("/.") or not whole.strip("./"):
            with tree.folder(path) as folder:
                _add_all(archive, folder, "", manner)
        else:
            with tree.entry(whole) as place:
                _add(archive, place, place[1], manner)


def read(stream: int, tree: TreeIO, path: str, manner: Manner) -> None:
    """Unpack what a descriptor gives into a folder, which must be there."""
    if not tree.is_dir(path):
        raise RecipeError(f"`{path}` is not a folder in the container")
    with open(stream, "rb", closefd=False) as file:
        try:
            with tarfile.open(fileobj=file, mode="r|*") as archive:
                for member in archive:
                    _unpack(archive, member, (tree, path), manner)
        except tarfile.TarError as error:
            raise RecipeError(f"this is no tar stream: {error}") from error


def _add_all(archive: tarfile.TarFile, folder: int, prefix: str, manner: Manner) -> None:
    copying.check_depth(prefix.count("/"))
    for name in sorted(os.listdir(folder)):
        # What it is shows before any of it is written, so nothing is left half said.
        with copying.changed_is_fine(name, manner):
            _add(archive, (folder, name), prefix + name, manner)


def _add(archive: tarfile.TarFile, place: Place, name: str, manner: Manner) -> None:
    status = os.stat(place[1], dir_fd=place[0], follow_symlinks=False)
    member = tarfile.TarInfo(name)
    member.mode, member.mtime = status.st_mode & 0o7777, status.st_mtime
    member.uid, member.gid = manner.owner(status.st_uid, status.st_gid)
    if stat.S_ISDIR(status.st_mode):
        member.type = tarfile.DIRTYPE
        archive.addfile(member)
        with copying.open_folder(place) as inner:
            _add_all(archive, inner, f"{name}/", manner)
    elif stat.S_ISLNK(status.st_mode):
        member.type, member.linkname = tarfile.SYMTYPE, os.readlink(place[1], dir_fd=place[0])
        archive.addfile(member)
    elif stat.S_ISREG(status.st_mode):
        with open(copying.open_file(place), "rb") as file:  # noqa: PTH123  # opened by descriptor
            member.size = os.fstat(file.fileno()).st_size
            archive.addfile(member, _Exactly(file, member.size))  # type: ignore[arg-type]  # it only reads
            manner.advance(member.size)
    else:
        manner.note(name)


class _Exactly:
    """A file as long as it was when it was opened, whatever its owner does to it meanwhile."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._left = file, size

    def read(self, size: int) -> bytes:
        count = min(size, self._left)
        data = self._file.read(count)
        self._left -= count
        return data + bytes(count - len(data))


def _unpack(
    archive: tarfile.TarFile, member: tarfile.TarInfo, into: tuple[TreeIO, str], manner: Manner
) -> None:
    tree, top = into
    parts = PurePosixPath(member.name.strip("/")).parts
    if ".." in parts:
        raise RecipeError(f"the tar stream has a name that leads out of its folder: {parts}")
    if not parts:
        return
    path = f"{top.rstrip('/')}/{'/'.join(parts)}"
    owner = manner.owner(member.uid, member.gid)
    tree.mkdir(path.rpartition("/")[0], owner=manner.owner(0, 0))
    mode = member.mode & (0o7777 if manner.everything else 0o777)
    if member.isdir():
        tree.mkdir(path, mode, owner)
        return
    with tree.entry(path) as place:
        if member.issym():
            copying.put_link(place, member.linkname, owner)
        elif member.islnk():
            _link(tree, f"{top}/{member.linkname}", place)
        elif member.isreg():
            copying.put_file(
                place,
                lambda fd: _pour(archive, member, fd, manner),
                mode,
                owner,
                (_nanoseconds(member.mtime),) * 2,
            )
        else:
            manner.note(member.name)


def _nanoseconds(seconds: float) -> int:
    """Give a time as the kernel takes it; a stream may say anything, such as `nan`."""
    # min and max pass over what is no number.
    return int(max(-_ALL_TIME, min(_ALL_TIME, seconds)) * 1_000_000_000)


def _link(tree: TreeIO, original: str, place: Place) -> None:
    with tree.entry(original) as (folder, name):
        handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        copying.put_name(place, handle)
    finally:
        os.close(handle)


def _pour(archive: tarfile.TarFile, member: tarfile.TarInfo, fd: int, manner: Manner) -> None:
    source = archive.extractfile(member)
    assert source is not None  # it is a regular file
    for data in _pieces(source):
        left = data
        while left:
            left = left[os.write(fd, left) :]
        manner.advance(len(data))


def _pieces(source: IO[bytes]) -> Iterator[bytes]:
    while data := source.read(_PIECE):
        yield data
