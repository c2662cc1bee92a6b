"""Tar streams of what is in a tree, for whoever reads them."""

import os
import stat
import tarfile
from typing import IO

from builder.host.trees import copying
from builder.host.trees.copying import CopyManner, Place
from builder.host.trees.treeio import TreeIO, names, open_file

_HOLES = 1 << 30
"""Bytes of a file that are on no disk, at most: a stream would hold them as zeros."""


def write(stream: int, tree: TreeIO, path: str, manner: CopyManner) -> None:
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


def _add_all(archive: tarfile.TarFile, folder: int, prefix: str, manner: CopyManner) -> None:
    copying.check_depth(prefix.count("/"))
    for name in names(folder):
        # What it is shows before any of it is written, so nothing is left half said.
        with copying.changed_is_fine(name, manner):
            _add(archive, (folder, name), prefix + name, manner)


def _add(archive: tarfile.TarFile, place: Place, name: str, manner: CopyManner) -> None:
    with copying.opened(place, manner.step) as (handle, status):
        member = tarfile.TarInfo(name)
        member.mode, member.mtime = status.st_mode & 0o7777, status.st_mtime
        member.uid, member.gid = manner.owner(status.st_uid, status.st_gid)
        if stat.S_ISDIR(status.st_mode):
            member.type = tarfile.DIRTYPE
            with copying.open_folder(handle) as inner:
                archive.addfile(member)
                _add_all(archive, inner, f"{name}/", manner)
        elif stat.S_ISLNK(status.st_mode):
            member.type, member.linkname = tarfile.SYMTYPE, os.readlink("", dir_fd=handle)
            archive.addfile(member)
        elif not stat.S_ISREG(status.st_mode):
            manner.note(name)
        elif status.st_size > status.st_blocks * 512 + _HOLES:
            manner.note(name, "a stream would hold its holes as zeros")
        else:
            _add_file(archive, member, handle, manner)


def _add_file(
    archive: tarfile.TarFile, member: tarfile.TarInfo, handle: int, manner: CopyManner
) -> None:
    with open(open_file(handle), "rb") as file:  # noqa: PTH123  # opened by descriptor
        member.size = os.fstat(file.fileno()).st_size
        archive.addfile(member, _Exactly(file, member.size))  # type: ignore[arg-type]  # it only reads
        manner.advance(member.size)


class _Exactly:
    """A file as long as it was when it was opened, whatever its owner does to it meanwhile."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._left = file, size

    def read(self, size: int) -> bytes:
        count = min(size, self._left)
        data = self._file.read(count)
        self._left -= count
        return data + bytes(count - len(data))
