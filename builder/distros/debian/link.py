"""Linking: the files of expanded packages become a tree without being copied."""

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from builder.distros.debian.database import Unpacked

# dpkg reaches the same tree by unpacking one package after the other. Where that would need more
# than laying the packages side by side, `UnlinkableError` says so, and dpkg does it instead.

_MERGED = ("bin", "sbin", "lib")
_MERGED_FOR: Mapping[str, tuple[str, ...]] = {"amd64": ("lib64",), "ppc64el": ("lib64",)}
"""Where the ABI's dynamic loader lies; others of these folders do not exist in a new system."""


class UnlinkableError(Exception):
    """These packages can only be unpacked by dpkg."""


def link_packages(packages: Sequence[Unpacked], target: Path, arch: str) -> None:
    """Make a tree of packages with their conffiles as `.dpkg-new`, as dpkg leaves them.

    The first package that has a folder decides on its mode, owner and time: base-files, then the
    others by name.
    """
    target.mkdir()
    tree = _Tree(target, arch)
    for package in sorted(packages, key=lambda one: (one.name != "base-files", one.name)):
        tree.add(package)
    tree.set_folder_times()


def merge_usr(target: Path, arch: str) -> tuple[str, ...]:
    """Make /bin and its like links into /usr, as every Debian since bookworm wants them."""
    names = (*_MERGED, *_MERGED_FOR.get(arch, ()))
    for name in names:
        (target / "usr" / name).mkdir(parents=True, mode=0o755)
        (target / name).symlink_to(f"usr/{name}")
    return names


class _Tree:
    """A tree while packages are laid into it."""

    def __init__(self, target: Path, arch: str) -> None:
        self.target = os.fspath(target)
        self.merged = merge_usr(target, arch)
        self.folders: dict[str, os.stat_result | None] = {"/usr": None}
        self.folders |= {f"/usr/{name}": None for name in self.merged}
        self.files: set[str] = set()

    def add(self, package: Unpacked) -> None:
        """Link all that a package has."""
        if len(package.conffiles) != len(package.control_lines("conffiles")):
            raise UnlinkableError(f"{package.name} has conffiles with flags")
        conffiles = set(package.conffiles)
        source = os.fspath(package.expanded.root)
        for path in package.paths:
            status = _status(package, source + path)
            place = self._place(path)
            if stat.S_ISDIR(status.st_mode):
                self._folder(place, status)
            elif path[1:] in self.merged and stat.S_ISLNK(status.st_mode):
                self._same_link(package, path)
            else:
                if place in self.files or place in self.folders:
                    raise UnlinkableError(f"{package.name} is not the only one to have {path}")
                self.files.add(place)
                new = place + ".dpkg-new" if path in conffiles else place
                os.link(source + path, self.target + new, follow_symlinks=False)

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
        full = self.target + place
        if place != "/" and place not in self.folders:
            os.mkdir(full)  # noqa: PTH102  # thousands of them
        os.chown(full, status.st_uid, status.st_gid)
        os.chmod(full, stat.S_IMODE(status.st_mode))  # noqa: PTH101
        self.folders[place] = status

    def _same_link(self, package: Unpacked, path: str) -> None:
        """Check that base-files, which has had these links since trixie, means the same."""
        if str((package.expanded.root / path[1:]).readlink()) != f"usr{path}":
            raise UnlinkableError(f"{package.name} has another {path}")

    def set_folder_times(self) -> None:
        """Give folders the times of their packages: linking has touched them."""
        for place, status in self.folders.items():
            if status is not None:
                os.utime(self.target + place, ns=(status.st_atime_ns, status.st_mtime_ns))


def _status(package: Unpacked, path: str) -> os.stat_result:
    try:
        return os.lstat(path)
    except FileNotFoundError as error:
        # A name with a newline in it looks like two; dpkg refuses it.
        raise UnlinkableError(f"{package.name} has a file with an odd name") from error
