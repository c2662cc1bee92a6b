"""A container's own files: what it has changed and added, beside its template."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from builder.host import mounts
from builder.host.places import Places
from builder.host.removal import remove_tree
from builder.runtime import state
from builder.runtime.container import Container, folder_of

FOLDERS = ("upper", "work", "layers")
IMAGE = "disk.img"
"""Holds these folders where disk space is limited; else they lie in the container's folder."""


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
    if current is not None and state.alive(current):
        yield seen_by(places, current.monitor)
        return
    with mounted(places, container.name, image) as target:
        yield target


@contextlib.contextmanager
def mounted(places: Places, name: str, image: Path) -> Iterator[Path]:
    """Mount the image of a container that does not run, seen by this process alone."""
    from builder.host import images  # most containers have none

    target = places.runtime / "open" / name
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        mounts.private_namespace()
        images.mount(image, target)
        try:
            fill(target)
            yield target
        finally:
            mounts.detach(target)
    finally:
        target.rmdir()


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


def forget_folders(folder: Path) -> None:
    """Remove what an image has taken the place of."""
    for name in FOLDERS:
        remove_tree(folder / name)
