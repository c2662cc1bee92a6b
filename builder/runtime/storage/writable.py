"""A container's own files: what it has changed and added, beside its template."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from builder.host.kernel import mounts
from builder.host.places import Places
from builder.host.trees.removal import remove_tree
from builder.model.errors import HostError
from builder.runtime.record import state
from builder.runtime.record.container import Container
from builder.runtime.record.layout import IMAGE, LAYERS, UPPER, WORK, folder_of

FOLDERS = (UPPER, WORK, LAYERS)

# A container may fill its disk to the last byte and file, and then could neither be started again
# nor be put back to what it was. So something lies there that can be given up for that.
_SPARE = "spare"
_SPARE_SIZE, _SPARE_FILES = 2 << 20, 16
_DAMAGE = (errno.EUCLEAN, errno.EBADMSG)
"""What ext4 and btrfs say of what cannot be right."""
_ROOM = 16 << 20
"""Bytes that have to be free for the spare to be laid by."""


@contextlib.contextmanager
def opened(places: Places, container: Container) -> Iterator[Path]:
    """Give the folder with `upper`, `work` and `layers`, whether or not the container runs.

    Owners are as on disk: root is 0. Where an image has to be mounted for that, this process gets
    mounts of its own.
    """
    image = image_of(places, container.name)
    if image is None:
        yield folder_of(places, container.name)
        return
    current = state.read(places, container.name)
    if current is not None and state.has_monitor(current):
        area = seen_by(places, current.monitor)
        with told_of_disk(places, container.name, area):
            yield area
        return
    with (
        mounted(places, container.name, image) as target,
        told_of_disk(places, container.name, target),
    ):
        fill(target)
        yield target


@contextlib.contextmanager
def mounted(places: Places, name: str, image: Path) -> Iterator[Path]:
    """Mount the image of a container, seen by this process alone.

    One that runs, and has lost its monitor, has it mounted already: mount(8) takes the same loop
    device for it, so that it is the same file system.
    """
    from builder.host.trees import images  # most containers have none

    target = places.runtime / "open" / name
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        mounts.private_namespace()
        images.mount(image, target)
        yield target
    finally:
        # Also when Ctrl-C came just as it was there, and nobody knew of it yet.
        with contextlib.suppress(OSError):
            mounts.detach(target)
        target.rmdir()


@contextlib.contextmanager
def told_of_disk(places: Places, name: str, area: Path) -> Iterator[None]:
    """Tell a container's own disk, when that is full or damaged, from the one of Oven's home."""
    try:
        yield
    except OSError as error:
        image = image_of(places, name)
        if error.errno in _DAMAGE and image is not None:
            from builder.host.trees import images  # most containers have none

            raise images.damaged(image, str(error.strerror).lower()) from error
        if error.errno == errno.ENOSPC and _left(area) <= _left(places.data):
            raise full(name) from error
        raise


def full(name: str) -> HostError:
    """Make the error for a container's own disk that has no room left."""
    if name.startswith(("new.", "run.")):  # a draft, of which the user knows no name
        return HostError(
            "the disk of the new container is full before it has all that belongs there",
            hint="give the one that it is made of a larger disk first, or choose a larger one",
        )
    return HostError(
        f"the disk of container `{name}` is full",
        hint=f"give it more (`oven set {name} --disk SIZE`), or remove files inside",
    )


def _left(folder: Path) -> tuple[bool, int]:
    """Tell how much room a disk has left, to be compared: without files that is none."""
    found = os.statvfs(folder)
    files = not found.f_files or found.f_favail > 0
    return (files, found.f_bavail * found.f_frsize)


def image_of(places: Places, name: str) -> Path | None:
    """Give the image of a container; None where its disk space is not limited."""
    path = folder_of(places, name) / IMAGE
    return path if path.exists() else None


def seen_by(places: Places, monitor: int) -> Path:
    """Give where the image of a running container is mounted, as others reach it."""
    return Path(f"/proc/{monitor}/root{places.disk}")


def fill(target: Path) -> None:
    """Make the folders that are missing; the merged view takes mode and owner from `upper`."""
    for name in FOLDERS:
        folder = target / name
        if not folder.exists():
            folder.mkdir()
            folder.chmod(0o755)


def lay_by(target: Path) -> None:
    """Lay by what a full disk can give up later, where there is room for it now."""
    spare = target / _SPARE
    if spare.exists() or _left(target) < (True, _ROOM):
        return
    with contextlib.suppress(OSError):
        spare.mkdir(mode=0o700)
        for number in range(_SPARE_FILES):
            (spare / str(number)).touch()
        with (spare / "bytes").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, _SPARE_SIZE)


def spend(target: Path) -> bool:
    """Give up what was laid by; tell whether there was anything."""
    if not (target / _SPARE).exists():
        return False
    remove_tree(target / _SPARE)
    os.sync()  # btrfs has the room again only then
    return True


def forget_folders(folder: Path) -> None:
    """Remove what an image has taken the place of."""
    for name in FOLDERS:
        remove_tree(folder / name)
