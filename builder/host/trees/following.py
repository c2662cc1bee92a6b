"""Following: a copy of a tree that others change, which catches up with it in passes."""

import contextlib
import errno
import itertools
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from builder.host.trees import likeness
from builder.host.trees.changes import FOLDER, RACES, Found, changes, open_below
from builder.host.trees.removal import remove_tree

# Each pass is told of all folders of the tree, and of what has changed since the pass before began.
# A folder is known by its inode, wherever it is moved: whoever renames something changes it, but
# not what lies below. So the copy of a folder is moved along, and what it has stays good. Whatever
# goes wrong because somebody changes the tree is a change that the next pass is told of. The last
# pass is made while nobody changes anything; then the copy is what the tree is.

_AWAY = -1
"""In place of a folder's inode: where folders are put aside."""

Place = tuple[int, str]
"""The inode of a folder, and a name in it."""


class Follower:
    """A copy of one tree, made in a new folder; beside it another one holds what is removed."""

    def __init__(self, source: Path, target: Path) -> None:
        self._aside = target.with_name(f".{target.name}.aside")
        self._names = {False: target.name, True: self._aside.name}
        target.mkdir(0o700)
        self._aside.mkdir(0o700)
        self._source = os.open(source, FOLDER)
        self._base = os.open(target.parent, FOLDER)
        self._root = os.fstat(self._source).st_ino
        self._numbers = itertools.count()
        self._where: dict[int, Place] = {}
        """Where the copies of folders are, but for the root."""
        self._links: dict[int, set[Place]] = {}
        """The names of each file that has several."""
        self._unseen = {self._root}
        """Folders of which the copy has not got all yet."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._base)
        os.close(self._source)
        remove_tree(self._aside)

    def look(self, since: int | None) -> tuple[list[Found], bool]:
        """Tell what has changed since a moment, while others change more: see `changes`."""
        return changes(self._source, since)

    def catch_up(self, found: Iterable[Found], *, still: bool) -> tuple[int, bool]:
        """Copy what is new and changed; give how many names, and whether all could be reached.

        `still` says that nobody changes the tree.
        """
        folders: dict[int, Place] = {}
        paths = {"": self._root}
        work: dict[int, set[str]] = {}
        for path, inode, is_folder, changed in found:
            above, _, name = path.rpartition("/")
            parent = paths.get(above)
            if parent is None:
                continue
            if not is_folder:
                self._links.pop(inode, None)
                work.setdefault(parent, set()).add(name)
            elif path and inode not in folders and inode != self._root:
                folders[inode] = parent, name
                paths[path] = inode
            if is_folder and changed:
                self._unseen.add(inode)
        self._put_aside(folders)
        self._put_back(folders)
        count, reached = 0, True
        for path, inode in paths.items():
            if self._has(inode) and (inode in work or inode in self._unseen):
                try:
                    count += self._fill(inode, path, work.get(inode, set()), still=still)
                except OSError as error:
                    if still or error.errno not in RACES:
                        raise
                    self._unseen.add(inode)
                    reached = False
        return count, reached

    def _put_aside(self, folders: dict[int, Place]) -> None:
        """Move the copies of folders away that have another place now, or none."""
        for inode, place in list(self._where.items()):
            goes = inode not in folders
            if folders.get(inode) == place or (goes and self._is_going(place[0], folders)):
                continue
            aside = _AWAY, str(next(self._numbers))
            os.rename(self._path(place), self._path(aside), src_dir_fd=self._base,
                      dst_dir_fd=self._base)  # fmt: skip
            self._where[inode] = aside
        for inode in [one for one in self._where if one not in folders]:
            # What is in it now is not known to be whole, should it come again.
            del self._where[inode]
            self._unseen.discard(inode)

    def _is_going(self, inode: int, folders: dict[int, Place]) -> bool:
        return inode != self._root and inode not in folders

    def _put_back(self, folders: dict[int, Place]) -> None:
        """Move copies of folders to their places, and make those that are new."""
        taken = set[Place]()
        for inode, place in list(folders.items()):
            known = self._where.get(inode)
            if place in taken or not self._has(place[0]):
                continue  # somebody has moved things about; the next pass is told of it
            taken.add(place)
            if known == place:
                continue
            path = self._path(place)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path, dir_fd=self._base)
            if known is None:
                os.mkdir(path, 0o700, dir_fd=self._base)
                self._unseen.add(inode)
            else:
                os.rename(self._path(known), path, src_dir_fd=self._base, dst_dir_fd=self._base)
            self._where[inode] = place

    def _fill(self, inode: int, path: str, wanted: set[str], *, still: bool) -> int:
        """Give the copy of a folder what it lacks, and take from it what it has too much."""
        source = open_below(self._source, path)
        try:
            status = os.fstat(source)
            if status.st_ino != inode:
                raise FileNotFoundError(errno.ENOENT, "it is another folder now", path)
            here = self._names[False] if inode == self._root else self._path(self._where[inode])
            target = os.open(here, FOLDER, dir_fd=self._base)
            try:
                if inode in self._unseen:
                    wanted = self._compare(source, target, wanted)
                    self._unseen.discard(inode)
                for name in wanted:
                    self._copy((source, target), (inode, name), still=still)
                likeness.dress(source, target, os.fstat(source))
            finally:
                os.close(target)
        finally:
            os.close(source)
        return len(wanted)

    def _compare(self, source: int, target: int, wanted: set[str]) -> set[str]:
        there, here = set(os.listdir(source)), set(os.listdir(target))
        for name in here - there:
            _unlink(target, name)
        return wanted | (there - here)

    def _copy(self, folders: tuple[int, int], place: Place, *, still: bool) -> None:
        source, target = folders
        name = place[1]
        try:
            _unlink(target, name)
            status = os.stat(name, dir_fd=source, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                return
            if status.st_nlink == 1 or not self._link(status.st_ino, target, name):
                likeness.make(source, target, name, status)
        except OSError as error:
            if still or error.errno not in RACES:
                raise
        else:
            if status.st_nlink > 1:
                self._links.setdefault(status.st_ino, set()).add(place)

    def _link(self, inode: int, target: int, name: str) -> bool:
        """Make a name of a file that was copied by another name of it."""
        for place in self._links.get(inode, ()):
            if not self._has(place[0]):
                continue
            with contextlib.suppress(FileNotFoundError):
                try:
                    os.link(self._path(place), name, src_dir_fd=self._base, dst_dir_fd=target,
                            follow_symlinks=False)  # fmt: skip
                except OSError as error:
                    if error.errno != errno.EMLINK:
                        raise
                    continue
                return True
        return False

    def _has(self, inode: int) -> bool:
        """Tell whether there is a copy of a folder."""
        return inode == self._root or inode in self._where

    def _path(self, place: Place) -> str:
        """Give the path of a place in the copy, or aside of it."""
        parts = []
        inode, name = place
        while True:
            parts.append(name)
            if inode in {self._root, _AWAY}:
                break
            inode, name = self._where[inode]
        parts.append(self._names[inode == _AWAY])
        return "/".join(reversed(parts))


def _unlink(folder: int, name: str) -> None:
    """Remove a name; a folder stays, since it is moved as a whole."""
    with contextlib.suppress(FileNotFoundError, IsADirectoryError):
        os.unlink(name, dir_fd=folder)
