"""Linking: the files of expanded packages become a tree without being copied."""

import os
import posixpath
import stat
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from builder.distros.debian.database import UnpackedPackage
from builder.distros.debian.filters import Filter, skips
from builder.host.trees.treeio import TreeIO
from builder.model.errors import StageError

# dpkg reaches the same tree by unpacking one package after the other. Where that would need more
# than laying the packages side by side, `UnlinkableError` says so, and dpkg does it instead.
#
# Packages are strangers: one may bring a link, and the next a file below it. So a file is laid only
# into a folder that was made here, and that is reached through the tree's root.

_MERGED = ("bin", "sbin", "lib")
_MERGED_FOR: Mapping[str, tuple[str, ...]] = {"amd64": ("lib64",), "ppc64el": ("lib64",)}
"""Where the ABI's dynamic loader lies; others of these folders do not exist in a new system."""

_MOST_OPEN = 100
"""Folders that are held open at once."""


class UnlinkableError(Exception):
    """These packages can only be unpacked by dpkg."""


def link_packages(
    packages: Sequence[UnpackedPackage],
    target: Path,
    arch: str,
    chosen: Sequence[Filter] = (),
) -> None:
    """Make a tree of packages with their conffiles as `.dpkg-new`, as dpkg leaves them.

    What the filters leave out is not in it.

    The first package that has a folder decides on its mode, owner and time: base-files, then the
    others by name.
    """
    target.mkdir()
    with TreeIO(target) as root, _Desk(root) as desk:
        tree = _Tree(desk, merge_usr(root, arch), chosen)
        for package in sorted(packages, key=lambda one: (one.name != "base-files", one.name)):
            with TreeIO(package.expanded.root) as source, _Desk(source) as from_:
                tree.add(package, from_)
        tree.set_folder_times()


def merge_usr(tree: TreeIO, arch: str) -> tuple[str, ...]:
    """Make /bin and its like links into /usr, as every Debian since bookworm wants them."""
    names = (*_MERGED, *_MERGED_FOR.get(arch, ()))
    for name in names:
        tree.mkdir(f"usr/{name}")
        tree.symlink(name, f"usr/{name}")
    return names


def refuse_ways_out(packages: Sequence[UnpackedPackage]) -> None:
    """Raise StageError where a file would be laid through a link that leads out of the tree.

    For a program that unpacks packages by their paths, outside of the tree.
    """
    links = {}
    for package in packages:
        with TreeIO(package.expanded.root) as source:
            for path, status in source.walk():
                if stat.S_ISLNK(status.st_mode) and _leads_out(path, source.readlink(path)):
                    links[f"/{path}"] = package.name
    for package in packages:
        for path in package.paths:
            above = path
            while above := above.rpartition("/")[0]:
                if above in links:
                    raise StageError(
                        f"the package `{package.name}` has `{path}`, and in the package"
                        f" `{links[above]}` `{above}` is a link that leads out of the tree",
                        hint="leave out `--bootstrap debootstrap`, or do without one of the two",
                    )


def _leads_out(path: str, target: str) -> bool:
    if target.startswith("/"):
        return True
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), target)).startswith("..")


class _Desk:
    """The folders of a tree that are worked in, held open: packages list files by folder."""

    def __init__(self, tree: TreeIO) -> None:
        self._tree = tree
        self._held = ExitStack()
        self._open: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def folder(self, path: str) -> int:
        """Give a descriptor of a folder, good until the next one is asked for."""
        if path not in self._open:
            if len(self._open) == _MOST_OPEN:
                self._open.clear()
                self._held.close()
            self._open[path] = self._held.enter_context(self._tree.folder(path))
        return self._open[path]


class _Tree:
    """A tree while packages are laid into it."""

    def __init__(self, desk: _Desk, merged: tuple[str, ...], chosen: Sequence[Filter]) -> None:
        self.desk = desk
        self.merged = merged
        self.filters = chosen
        self.folders: dict[str, os.stat_result | None] = {"/": None, "/usr": None}
        self.folders |= {f"/usr/{name}": None for name in self.merged}
        self.files: set[str] = set()

    def add(self, package: UnpackedPackage, source: _Desk) -> None:
        """Link all that a package has."""
        if len(package.conffiles) != len(package.control_lines("conffiles")):
            raise UnlinkableError(f"{package.name} has conffiles with flags")
        conffiles = set(package.conffiles)
        for path in package.paths:
            above, name = _parted(package, path)
            from_ = _opened(package, source, above)
            status = _status(package, from_, name)
            if skips(self.filters, path, whole=_is_whole(status)):
                continue
            place = self._place(path)
            if place not in self.folders and _above(place) not in self.folders:
                raise UnlinkableError(f"{package.name} has {path} in what is no folder")
            if stat.S_ISDIR(status.st_mode):
                self._folder(place, status)
            elif path[1:] in self.merged and stat.S_ISLNK(status.st_mode):
                self._same_link(package, path, os.readlink(name, dir_fd=from_))
            else:
                new = place + ".dpkg-new" if path in conffiles else place
                if {place, new} & self.files or place in self.folders or new in self.folders:
                    raise UnlinkableError(f"{package.name} is not the only one to have {path}")
                self.files |= {place, new}
                to, called = self.desk.folder(_above(place)), new.rpartition("/")[2]
                os.link(name, called, src_dir_fd=from_, dst_dir_fd=to, follow_symlinks=False)

    def _place(self, path: str) -> str:
        """Say where a path lies, seen without the links into /usr."""
        if path == "/.":
            return "/"
        top = path[1:].partition("/")[0]
        return f"/usr{path}" if top in self.merged else path

    def _folder(self, place: str, status: os.stat_result) -> None:
        if place in self.files:
            raise UnlinkableError(f"{place} is a folder in one package and a file in another")
        if self.folders.get(place) is not None:
            return
        if place not in self.folders:
            name = place.rpartition("/")[2]
            os.mkdir(name, dir_fd=self.desk.folder(_above(place)))
        made = self.desk.folder(place)
        os.fchown(made, status.st_uid, status.st_gid)
        os.fchmod(made, stat.S_IMODE(status.st_mode))
        self.folders[place] = status

    def _same_link(self, package: UnpackedPackage, path: str, target: str) -> None:
        """Check that base-files, which has had these links since trixie, means the same."""
        if target != f"usr{path}":
            raise UnlinkableError(f"{package.name} has another {path}")

    def set_folder_times(self) -> None:
        """Give folders the times of their packages: linking has touched them."""
        for place, status in self.folders.items():
            if status is not None:
                times = (status.st_atime_ns, status.st_mtime_ns)
                os.utime(self.desk.folder(place), ns=times)


def _is_whole(status: os.stat_result) -> bool:
    return not (stat.S_ISDIR(status.st_mode) or stat.S_ISLNK(status.st_mode))


def _above(place: str) -> str:
    return place.rpartition("/")[0] or "/"


def _parted(package: UnpackedPackage, path: str) -> tuple[str, str]:
    """Part a path into the folder and the name in it."""
    above, _, name = path.rpartition("/")
    # A name with a newline in it looks like two; dpkg refuses it.
    if not path.startswith("/") or name in {"", ".."} or "/../" in path:
        raise UnlinkableError(f"{package.name} has a file with an odd name")
    return above or "/", name


def _opened(package: UnpackedPackage, source: _Desk, above: str) -> int:
    try:
        return source.folder(above)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UnlinkableError(f"{package.name} has a file with an odd name") from error


def _status(package: UnpackedPackage, folder: int, name: str) -> os.stat_result:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError as error:
        raise UnlinkableError(f"{package.name} has a file with an odd name") from error
