"""Disk limits: what a container changes and adds lies in an image of the size that was set."""

import os
from pathlib import Path

from builder.host.places import Places
from builder.host.programs import SLOW, Command, on_host
from builder.host.trees import durable, images
from builder.model.errors import ConflictError, HostError
from builder.runtime.record import state
from builder.runtime.record.container import Container, Limits
from builder.runtime.record.layout import IMAGE, folder_of
from builder.runtime.storage import writable

# The image replaces the folders `upper`, `work` and `layers`: once it has its name, those are not
# looked at. A killed conversion leaves `disk.img.new`, or folders that nobody needs; both go with
# the next one, or with the container. An ext4 has the inodes that it was made with, so that more of
# them take a new image too, which then replaces the old one.


def check(limits: Limits) -> None:
    """Refuse limits of disk space that this host cannot enforce."""
    if limits.disk is None and limits.inodes is None:
        return
    if limits.disk is None:
        raise ConflictError("the number of files is limited together with the size of the disk",
                            hint="give `--disk` as well")  # fmt: skip
    if limits.disk < images.SMALLEST:
        raise ConflictError(
            f"a disk of {limits.disk >> 20} MiB is too small",
            hint=f"the smallest has {images.SMALLEST >> 20} MiB",
        )
    if limits.disk > images.LARGEST:
        raise ConflictError(
            f"a disk of {limits.disk >> 20} MiB is too large",
            hint=f"the largest has {images.LARGEST >> 20} MiB",
        )
    images.kind_for(files=limits.inodes is not None)


def make(folder: Path, limits: Limits) -> None:
    """Make the image for a new container where its limits, whoever wrote them, ask for one."""
    check(limits)
    if limits.disk is not None:
        images.make(folder / IMAGE, limits.disk, limits.inodes)


def resize(places: Places, container: Container, limits: Limits) -> None:
    """Hold a container to other limits of disk space, at once; the caller has its lock.

    Raises ConflictError for what cannot be done now, with what to do.
    """
    old = container.limits
    if (old.disk, old.inodes) == (limits.disk, limits.inodes):
        return
    check(limits)
    image = writable.image_of(places, container.name)
    if image is None:
        _move_in(places, container, limits)
        return
    if limits.disk is None:
        raise ConflictError(
            "a disk limit cannot be taken away again", hint="set a larger one: `--disk 1T`"
        )
    if old.inodes != limits.inodes:
        _move_over(places, container, limits)
        return
    current = state.read(places, container.name)
    if current is not None and state.has_monitor(current):
        images.resize(image, places.disk, limits.disk, namespace=current.monitor)
    elif images.kind_of(image) == "ext4" and not state.alive(current):
        images.resize_at_rest(image, limits.disk)
    else:
        with writable.opened(places, container) as folder:
            images.resize(image, folder, limits.disk)


def usage(places: Places, name: str) -> images.ImageUse | None:
    """Tell how much of its disk a running container uses; None where that cannot be seen."""
    current = state.read(places, name)
    if writable.image_of(places, name) is None or current is None or not state.has_monitor(current):
        return None
    return images.room(writable.seen_by(places, current.monitor))


def _move_in(places: Places, container: Container, limits: Limits) -> None:
    """Give a container that had no limit an image with all that it has."""
    if state.status(places, container.name) != "stopped":
        raise ConflictError(
            f"container `{container.name}` has no disk limit so far, and gets one only while it is"
            " stopped",
            hint=f"oven stop {container.name}",
        )
    folder = folder_of(places, container.name)
    _replace_by_image(places, container, limits, folder)
    writable.forget_folders(folder)


def _move_over(places: Places, container: Container, limits: Limits) -> None:
    """Give a container a disk that has room for more files, with all that it has."""
    old = container.limits.inodes
    if old is not None and (limits.inodes is None or limits.inodes < old):
        raise ConflictError(
            f"a disk with room for {old} files cannot be made one for fewer, or without a limit",
            hint="choose a larger number",
        )
    if state.status(places, container.name) != "stopped":
        raise ConflictError(
            f"the disk of container `{container.name}` has the files that it was made for, and is"
            " replaced by one for more only while the container is stopped",
            hint=f"`oven stop {container.name}`, and start it again afterwards",
        )
    with writable.opened(places, container) as area:
        _replace_by_image(places, container, limits, area)


def _replace_by_image(places: Places, container: Container, limits: Limits, source: Path) -> None:
    """Copy what a container has into a new image, and put that into place: done whole or not."""
    folder = folder_of(places, container.name)
    draft = folder / f"{IMAGE}.new"
    draft.unlink(missing_ok=True)
    assert limits.disk is not None  # checked
    images.make(draft, limits.disk, limits.inodes)
    try:
        with writable.mounted(places, f"{container.name}.new", draft) as target:
            _copy(source, target)
        durable.Disk().sync(draft)
        draft.rename(folder / IMAGE)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    durable.Disk().sync(folder)


def _copy(folder: Path, target: Path) -> None:
    """Copy what a container has, with owners, attributes, holes and links (cp(1))."""
    parts = [str(folder / name) for name in writable.FOLDERS if (folder / name).exists()]
    done = on_host(Command(("cp", "--archive", "--sparse=auto", *parts, f"{target}/"), limit=SLOW))
    if done.code != 0:
        if b"No space left" in done.stderr:
            size = os.statvfs(target)
            raise ConflictError(
                f"what the container has does not fit into {size.f_blocks * size.f_frsize >> 20}"
                " MiB",
                hint="choose a larger disk",
            )
        raise HostError(f"cannot copy the files of the container: {done.output.strip()[-500:]}")
