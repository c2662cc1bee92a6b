"""Pours what a tar stream holds into a tree that others may change meanwhile: nothing leads out."""

import os
from pathlib import Path, PurePosixPath

from builder.formats.tar import headers
from builder.formats.tar.headers import TarMember
from builder.formats.tar.inflate import CHUNK, inflate
from builder.formats.tar.reader import TarStream
from builder.host.trees import copying
from builder.host.trees.copying import CopyManner, Place
from builder.host.trees.treeio import TreeIO
from builder.model.errors import RecipeError, TrustError

_ALL_TIME = 1 << 32
"""Seconds; what a stream says beyond them is no time of a file."""
_MOST = 1 << 60
"""Bytes; a person who copies a stream knows how much room there is."""
_REST = 64
"""Pieces that are read after the end, so that who writes the stream can finish."""


def read(stream: int, tree: TreeIO, path: str, manner: CopyManner) -> None:
    """Unpack what a descriptor gives into a folder, which must be there.

    Takes tar, tar.gz, tar.xz and tar.zst. RecipeError and TrustError for what is none of them.
    """
    if not tree.is_dir(path):
        raise RecipeError(f"`{path}` is not a folder in the container")
    with open(stream, "rb", buffering=0, closefd=False) as file:  # opened by descriptor
        try:
            archive = TarStream(inflate(file, Path("-")), Path("-"), most=_MOST)
            for member in archive:
                _unpack(archive, member, (tree, path), manner)
        except (RecipeError, TrustError) as error:
            raise type(error)(f"this is no tar stream to copy: {error.problem}") from error
        for _ in range(_REST):
            if not file.read(CHUNK):
                break


def _unpack(
    archive: TarStream, member: TarMember, into: tuple[TreeIO, str], manner: CopyManner
) -> None:
    tree, top = into
    parts = PurePosixPath(os.fsdecode(member.name).strip("/")).parts
    if ".." in parts:
        raise RecipeError(f"it has a name that leads out of its folder: {'/'.join(parts)!r}")
    if not parts:
        return
    path = f"{top.rstrip('/')}/{'/'.join(parts)}"
    owner = manner.owner(member.uid, member.gid)
    tree.mkdir(path.rpartition("/")[0], owner=manner.owner(0, 0))
    mode = member.mode & (0o7777 if manner.everything else 0o777)
    if member.kind == headers.FOLDER:
        tree.mkdir(path, mode, owner)
        return
    with tree.entry(path) as place:
        if member.kind == headers.SYMLINK:
            copying.put_link(place, os.fsdecode(member.link), owner)
        elif member.kind == headers.LINK:
            _link(tree, f"{top}/{os.fsdecode(member.link)}", place)
        elif member.kind == headers.FILE:
            copying.put_file(
                place,
                lambda fd: _pour(archive, member, fd, manner),
                mode,
                owner,
                (_nanoseconds(member.mtime),) * 2,
            )
        else:
            manner.note(os.fsdecode(member.name))


def _nanoseconds(seconds: int) -> int:
    """Give a time as the kernel takes it; a stream may say anything."""
    return max(-_ALL_TIME, min(_ALL_TIME, seconds)) * 1_000_000_000


def _link(tree: TreeIO, original: str, place: Place) -> None:
    with tree.entry(original) as (folder, name):
        handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        copying.put_name(place, handle)
    finally:
        os.close(handle)


def _pour(archive: TarStream, member: TarMember, fd: int, manner: CopyManner) -> None:
    for start, length in [(0, member.size)] if member.runs is None else member.runs:
        at = start
        for piece in archive.data(length):
            left = piece
            while left:
                done = os.pwrite(fd, left, at)
                left, at = left[done:], at + done
            manner.advance(len(piece))
    if member.runs is not None:
        os.ftruncate(fd, member.size)
