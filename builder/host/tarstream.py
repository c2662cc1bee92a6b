"""Tar streams of what is in a tree, for whoever reads them."""

import os
import stat
import tarfile
from typing import IO

from builder.host import copying
from builder.host.copying import Manner, Place
from builder.host.treeio import TreeIO


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
