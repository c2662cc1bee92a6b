"""Layers: what a container has changed, set aside so that it never changes again."""

import errno
import os
import stat
from pathlib import Path

from builder.host.overlayfs import notes
from builder.host.trees.links import own_files
from builder.runtime.record.container import Container
from builder.runtime.record.layout import DRAFTS, LAYERS, UPPER
from builder.runtime.storage import live, whole
from builder.runtime.storage.change import LayerDraft

MOST = 20
"""Layers that a container may stand on; the kernel takes more, but looks through each."""

Moves = tuple[tuple[str, str], ...]


def new_name() -> str:
    """Give a name that no layer has."""
    return os.urandom(6).hex()


def fresh_upper(draft: LayerDraft, like: Path | None) -> Moves:
    """Prepare an empty upper layer whose root folder is as in another one; give its move.

    The root folder of what the container sees is that of the upper layer.
    """
    made = draft.drafts / UPPER
    made.mkdir()
    if like is not None:
        copy_status(like, made)
    else:
        made.chmod(0o755)
    return ((f"{DRAFTS}/{UPPER}", UPPER),)


def set_aside(draft: LayerDraft, container: Container) -> tuple[tuple[str, ...], Moves]:
    """Make the upper layer of a stopped container its top layer; instant, whatever its size.

    Gives the layers there will be, and the moves that do it; none when nothing has changed.
    """
    upper = draft.area / UPPER
    if is_unchanged(draft, container):
        return container.layers, ()
    name = new_name()
    moves = ((UPPER, f"{LAYERS}/{name}"), *fresh_upper(draft, upper))
    return (name, *container.layers), moves


def copied(draft: LayerDraft, container: Container, cgroup: str) -> tuple[tuple[str, ...], Moves]:
    """Copy the upper layer of a running container as it is at one moment.

    One that a person has halted stays so.
    """
    if is_unchanged(draft, container):
        return container.layers, ()
    name = new_name()
    live.copy_upper(draft, draft.drafts / name, cgroup)
    draft.sync()
    return (name, *container.layers), ((f"{DRAFTS}/{name}", f"{LAYERS}/{name}"),)


def is_unchanged(draft: LayerDraft, container: Container) -> bool:
    """Tell whether there is nothing in the upper layer that the one below does not have."""
    upper = draft.area / UPPER
    if os.listdir(upper):
        return False
    if container.layers:
        return _status_of(upper) == _status_of(draft.area / LAYERS / container.layers[0])
    return _status_of(upper) == (0o755, 0, 0, {})


def merge(draft: LayerDraft, layers: tuple[str, ...]) -> tuple[str, Moves]:
    """Make one layer of several, the top first, out of links to their files."""
    name = new_name()
    folders = [draft.area / LAYERS / layer for layer in layers]
    merge_folders([os.fsencode(folder) for folder in folders], os.fsencode(draft.drafts / name))
    own_files(draft.drafts / name)
    draft.sync()
    return name, ((f"{DRAFTS}/{name}", f"{LAYERS}/{name}"),)


def merge_folders(sources: list[bytes], target: bytes) -> None:
    """Make a folder show what an overlay of several shows, the top first; files are linked."""
    todo = [(sources, target, False)]
    made: list[tuple[bytes, bytes, bool]] = []
    while todo:
        folders, there, hides = todo.pop()
        os.mkdir(there, 0o700)  # noqa: PTH102  # paths are bytes: names need not be UTF-8
        # What lies below an opaque folder is hidden, in these layers and in those further down.
        cuts = [depth for depth, folder in enumerate(folders) if notes.is_opaque(folder)]
        if cuts:
            folders, hides = folders[: cuts[0] + 1], True
        made.append((folders[0], there, hides))
        for name in {entry for folder in folders for entry in os.listdir(folder)}:
            found = [path for folder in folders if os.path.lexists(path := folder + b"/" + name)]
            others = [depth for depth, path in enumerate(found) if not _is_folder(path)]
            if others and others[0] == 0:
                _link(found[0], there + b"/" + name)
            else:
                # A file or a whiteout hides what is below it from the folders above it.
                upto = others[0] if others else len(found)
                todo.append((found[:upto], there + b"/" + name, bool(others)))
    for source, there, hides in reversed(made):
        copy_status(Path(os.fsdecode(source)), Path(os.fsdecode(there)))
        if hides:
            notes.make_opaque(there)


def copy_status(source: Path, target: Path) -> None:
    """Give a folder the owner, mode, times and attributes of another one, without the kernel's."""
    status = source.lstat()
    os.chown(target, status.st_uid, status.st_gid)
    target.chmod(stat.S_IMODE(status.st_mode))
    for name, value in _attributes(source).items():
        os.setxattr(target, name, value)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _status_of(folder: Path) -> tuple[int, int, int, dict[str, bytes]]:
    status = folder.lstat()
    return (
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
        _attributes(folder),
    )


def _attributes(folder: Path) -> dict[str, bytes]:
    names = os.listxattr(folder, follow_symlinks=False)
    return {
        name: os.getxattr(folder, name, follow_symlinks=False)
        for name in names
        if not name.startswith(notes.prefix())
    }


def _is_folder(path: bytes) -> bool:
    return stat.S_ISDIR(os.lstat(path).st_mode)


def _link(source: bytes, target: bytes) -> None:
    """Make a hard link; a copy of what has as many as a file can have, as whiteouts may."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.EMLINK:
            raise
        whole.copy_tree(Path(os.fsdecode(source)), Path(os.fsdecode(target)))
