"""Volumes that belong to an instance: filled from its template, and there whole or not at all."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from builder.host.places import Places
from builder.host.trees import durable
from builder.host.trees.removal import remove_tree
from builder.host.trees.treeio import NOTHING, TreeIO
from builder.model.errors import ConflictError, HostError, RecipeError, TrustError
from builder.model.value import Value, canonical
from builder.model.volume import VolumeSpec
from builder.runtime.record import locks
from builder.runtime.record.container import Bind
from builder.runtime.storage import whole

# `volumes/shop.data/` has `data/`, which containers see, and beside it `volume.json`, which they
# cannot reach. A draft has a name with a dot in front and is locked by who fills it; it gets its
# name in one step, so that what has that name is whole.

RECORD, DATA = "volume.json", "data"
DRAFT = ".new."


class VolumeRecord(Value, frozen=True, kw_only=True):
    """What is known of an instance's volume."""

    version: Literal[1] = 1
    instance: str
    """The container that it was made for."""
    template: str
    """The name of the template that it was made of."""
    spec: VolumeSpec
    uid: int
    """Whose the data is, as numbers."""
    gid: int


class Wanted(msgspec.Struct, frozen=True):
    """A volume that an instance is to have."""

    spec: VolumeSpec
    uid: int
    gid: int
    """Its owner, as the template counts."""

    def record(self, instance: str, template: str) -> VolumeRecord:
        """Give what is kept of it."""
        return VolumeRecord(
            instance=instance, template=template, spec=self.spec, uid=self.uid, gid=self.gid
        )

    def name(self, instance: str) -> str:
        """Give its name, which no container and no other volume can have."""
        return f"{instance}.{self.spec.name}"


class Draft(msgspec.Struct, frozen=True):
    """A volume that is filled, and has not got its name yet."""

    folder: Path
    name: str

    @property
    def data(self) -> Path:
        """Where its data goes."""
        return self.folder / DATA

    def keep(self) -> None:
        """Give it its name; ConflictError when there is one of that name by now."""
        target = self.folder.parent / self.name
        if target.exists():
            raise ConflictError(f"there is a volume `{self.name}` by now", hint="try again")
        disk = durable.Disk()
        disk.rename(self.folder, target)
        disk.sync(target.parent)


def read(places: Places, name: str) -> VolumeRecord | None:
    """Give what is known of an instance's volume; None where there is none of that name."""
    path = places.data / "volumes" / name / RECORD
    try:
        return msgspec.json.decode(path.read_bytes(), type=VolumeRecord)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except msgspec.MsgspecError as error:
        raise HostError(f"the record of the volume `{name}` is damaged: {error}", at=path) from (
            error
        )


@contextlib.contextmanager
def drafted(places: Places, name: str, record: VolumeRecord) -> Iterator[Draft]:
    """Lend a draft without data; what has not been kept when the block ends is removed."""
    volumes = places.data / "volumes"
    with durable.disk_errors(places.data):
        durable.private(volumes)
        with durable.locked(volumes / ".lock", what="the volumes"):
            _sweep(volumes)
            folder = volumes / f"{DRAFT}{name}.{os.urandom(4).hex()}"
            folder.mkdir(mode=0o700)
            lock = locks.try_lock(folder)
        try:
            durable.replace(folder / RECORD, canonical(record))
            yield Draft(folder, name)
        finally:
            remove_tree(folder)
            if lock is not None:
                os.close(lock)


def fill(draft: Draft, rootfs: Path, wanted: Wanted) -> None:
    """Give a draft what a template has at the place; the template is never to be trusted."""
    place, data = wanted.spec.place.lstrip("/"), draft.folder / DATA
    with TreeIO(rootfs) as tree:
        if _is_folder(tree, place):
            whole.copy_tree(rootfs / place, data)  # all of it plain folders, which nobody changes
        else:
            data.mkdir()
    _finish(draft, wanted)


def data_of(places: Places, name: str) -> Path:
    """Give where the data of a volume is."""
    return places.data / "volumes" / name / DATA


def copy(draft: Draft, places: Places, source: str) -> None:
    """Give a draft what another volume has, which nobody changes meanwhile."""
    whole.copy_tree(data_of(places, source), draft.data)
    settle(draft)


def settle(draft: Draft) -> None:
    """Leave out of a draft with a copy what does nothing in a volume, and have it on the disk."""
    _finish(draft, None)


def take(draft: Draft, folder: Path, name: str) -> None:
    """Give a draft a folder that somebody else has filled, below one that is Oven's alone.

    TrustError where there is no plain folder of that name.
    """
    with TreeIO(folder) as tree:
        if not tree.exists(name) or not stat.S_ISDIR(tree.lstat(name).st_mode):
            raise TrustError(f"there is no data of the volume `{name}`")
    durable.Disk().rename(folder / name, draft.folder / DATA)
    _finish(draft, None)


def _finish(draft: Draft, wanted: Wanted | None) -> None:
    """Leave out what does nothing in a volume, set the rights, and have it on the disk."""
    with TreeIO(draft.folder) as tree:
        for path, status in list(tree.walk(DATA)):
            if stat.S_IFMT(status.st_mode) in {stat.S_IFBLK, stat.S_IFCHR, stat.S_IFSOCK}:
                tree.remove(path)
        if wanted is not None:
            tree.chown(DATA, (wanted.uid, wanted.gid))
            tree.chmod(DATA, int(wanted.spec.mode, 8))
    durable.Disk().sync_filesystem(draft.folder)


def _is_folder(tree: TreeIO, place: str) -> bool:
    """Tell whether there is anything to begin with; RecipeError for what is no plain folder."""
    parts = place.split("/")
    for depth in range(1, len(parts) + 1):
        path = "/".join(parts[:depth])
        try:
            mode = tree.lstat(path).st_mode
        except OSError as error:
            if error.errno in NOTHING:
                return False
            raise
        if not stat.S_ISDIR(mode):
            what = "a link" if stat.S_ISLNK(mode) else "no folder"
            raise RecipeError(
                f"no volume can be at `/{place}`: `/{path}` is {what} in the template",
                hint="a volume needs a plain folder there, or nothing",
            )
    return True


def is_own(bind: Bind) -> bool:
    """Tell whether a bind shows a volume that was made for an instance."""
    return not bind.source.startswith("/") and "." in bind.source


def _sweep(volumes: Path) -> None:
    """Remove the drafts of commands that died."""
    for left in volumes.glob(f"{DRAFT}*"):
        lock = locks.try_lock(left)
        if lock is not None:
            remove_tree(left)
            os.close(lock)
