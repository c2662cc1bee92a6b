"""Packages taken apart: each .deb is decompressed once into the store and linked from then on."""

import contextlib
import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.host.process.threads import Threads
from builder.host.programs import NO_SPACE, Command, feed, is_full
from builder.model.errors import StageError
from builder.model.lock import Package
from builder.store import Store
from builder.store.damage import checked_blob

_TAR = (
    "tar", "--extract", "--verbose", "--file=-", "--quoting-style=literal",
    # As dpkg does it: ids and modes as they are in the package, names of the host's users are
    # nothing to it, and it knows no xattrs (deb(5)).
    "--numeric-owner", "--same-owner", "--preserve-permissions", "--delay-directory-restore",
    "--warning=no-timestamp",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Expanded:
    """A package taken apart, in the store: nothing below `folder` may be changed."""

    package: Package
    folder: Path

    @property
    def root(self) -> Path:
        """The folder of the files, laid out as the package has them."""
        return self.folder / "root"

    @property
    def control(self) -> Path:
        """The folder of the control files: `control`, `preinst`, `conffiles`, …"""
        return self.folder / "control"

    def paths(self) -> list[str]:
        """Give the paths in the order of the package, as dpkg lists them: `/.`, `/usr`, …"""
        text = (self.folder / "paths").read_text(encoding="utf-8", errors="surrogateescape")
        return [_listed(line) for line in text.splitlines()]


def expand(packages: Sequence[Package], store: Store, *, jobs: int) -> list[Expanded]:
    """Take packages apart that the store holds as blobs, unless that was done before."""
    # The largest first: no core is left alone with it at the end.
    order = sorted(packages, key=lambda package: -package.size)
    with Threads(max_workers=jobs) as pool:
        done = pool.map(lambda package: expand_one(package, store), order)
        by_hash = {one.package.sha256: one for one in done}
    return [by_hash[package.sha256] for package in packages]


def blob_of(package: Package, store: Store) -> Path:
    """Give the package's file, which the fetch stage has put into the store."""
    blob = checked_blob(store, package.sha256)
    if blob is None:
        raise StageError(
            f"the package file of `{package.name}` {package.version} is not in the store",
            hint="run the same command again; it will be downloaded",
        )
    return blob


def expand_one(package: Package, store: Store) -> Expanded:
    """Take a package apart that the store holds as a blob, unless that was done before."""
    folder = store.expanded(package.sha256)
    if folder is None:
        blob = blob_of(package, store)
        with store.draft() as draft:
            made = draft / "package"
            _take_apart(package, blob, made)
            folder = store.keep_expanded(made, package.sha256)
    return Expanded(package, folder)


def _take_apart(package: Package, blob: Path, made: Path) -> None:
    """Lay out what `Expanded` describes; an error names the package and its file."""
    from builder.distros.debian.package import (
        deb,  # and decompressors, which most commands do without
    )

    with _told(package, blob):
        (made / "control").mkdir(parents=True)
        for one in deb.control_files(blob):
            path = made / "control" / one.name
            path.write_bytes(one.data)
            path.chmod(one.mode)
            os.utime(path, (one.mtime, one.mtime))
        (made / "root").mkdir()
        command = Command((*_TAR, f"--directory={made / 'root'}"))
        done = feed(command, deb.data_tar(blob))
    if done.code != 0:
        raise StageError(
            _problem(package),
            hint=NO_SPACE if is_full(done.output) else None,
            command=f"dpkg-deb --fsys-tarfile {shlex.quote(str(blob))} | {command}",
            output=done.stderr.decode(errors="replace"),
        )
    (made / "paths").write_bytes(done.stdout)


@contextlib.contextmanager
def _told(package: Package, blob: Path) -> Iterator[None]:
    """Tell of a package file that is not what one can be."""
    from builder.distros.debian.package import deb

    try:
        yield
    except deb.DebError as error:
        raise StageError(_problem(package), output=f"{blob}: {error}") from error


def _problem(package: Package) -> str:
    return f"cannot unpack the package `{package.name}` {package.version}"


@contextlib.contextmanager
def files_read(packages: Sequence[Package], store: Store) -> Iterator[Callable[[], None]]:
    """Read the files of packages beside something else that unpacks them: the tree's own dpkg.

    That knows no limits. What this gives, and its end, raise StageError once more has come of a
    package than of any real one.
    """
    # Beside dpkg, which takes one core; and the smallest first, since no bomb is large.
    order = sorted(packages, key=lambda package: package.size)
    pool = Threads(max_workers=1)
    try:
        reads = [pool.submit(_read_files, package, store) for package in order]

        def watch() -> None:
            for read in reads:
                if read.done():
                    read.result()

        yield watch
        for read in reads:
            read.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _read_files(package: Package, store: Store) -> None:
    from builder.distros.debian.package import deb

    blob = blob_of(package, store)
    with _told(package, blob):
        for _ in deb.data_tar(blob):
            pass


def _listed(name: str) -> str:
    path = name.removeprefix(".").rstrip("/")
    return path or "/."
