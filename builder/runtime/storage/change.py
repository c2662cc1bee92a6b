"""Changes to a container's layers and record: written down whole before any of it is done.

What is done by `settled` is the same for a command that goes well and for the one after a command
that was killed: there is no other way to do it. A change that is not `ready` is undone, which means
that its drafts are removed; one that is ready is done, and steps that were done before are skipped.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from builder.host.kernel import cgroups
from builder.host.places import Places
from builder.host.trees import durable
from builder.host.trees.removal import remove_tree
from builder.model.errors import HostError
from builder.model.value import Digest, Value, canonical
from builder.runtime.record import ids, layout
from builder.runtime.record.container import Container, Limits, encode
from builder.runtime.record.layout import CHANGE, DRAFTS, LAYERS, UPPER, cgroup_of, folder_of
from builder.runtime.storage import writable

Kind = Literal["asked", "scheduled", "restore", "upgrade", "rollback"]
"""Who wanted a snapshot: a person, the schedule, or a verb that is about to change a lot."""


class Snapshot(Value, frozen=True, kw_only=True):
    """What a container was at one moment; kept as `snapshots/NAME.json` in its folder."""

    version: Literal[1] = 1
    created: float
    """Seconds since 1970; parts of one count, since this is also the order."""
    kind: Kind
    template: Digest
    template_name: str
    layers: tuple[str, ...]
    """All that lies on the template, the top first."""
    running: bool = False
    """Whether it was taken while the container ran: as after a power cut, but for the files' sake
    all at one moment."""
    limits: Limits = Limits()
    """What it might use then; for people to look at."""


class LayerChange(Value, frozen=True, kw_only=True):
    """What is to be done; kept as `change.json` until it is."""

    ready: bool = False
    frozen: bool = False
    """Whether the container was halted for this, and has to be let go on."""
    moves: tuple[tuple[str, str], ...] = ()
    """Folders of its own that get another name, in this order."""
    record: Container | None = None
    put: dict[str, Snapshot] = {}
    """Snapshots that there are then."""
    drop: tuple[str, ...] = ()
    """Snapshots that there are no more."""
    rename: str = ""
    """What the container is to be called; `record` is what it was, in case that fails."""


@dataclass(frozen=True, slots=True)
class LayerDraft:
    """A change that is being prepared."""

    folder: Path
    """The container's."""
    area: Path
    """Where `upper` and `layers` are."""

    @property
    def drafts(self) -> Path:
        """A folder for what is moved to its place later; all that is left in it is removed."""
        return self.area / DRAFTS

    def sync(self) -> None:
        """Have everything on the disk that was written for the change, beyond an empty upper layer.

        Not part of `commit`, since it may wait for what others have written.
        """
        durable.Disk().sync_filesystem(self.area)

    def commit(self, change: LayerChange) -> None:
        """Make up one's mind: from here on the change will be done, whatever happens."""
        disk = durable.Disk()
        for made in (self.drafts / UPPER, self.drafts, self.area / LAYERS):
            if made.is_dir():
                disk.sync(made)
        ready = msgspec.structs.replace(change, ready=True)
        durable.replace(self.folder / CHANGE, canonical(ready))


@contextlib.contextmanager
def prepared(places: Places, container: Container, *, frozen: bool = False) -> Iterator[LayerDraft]:
    """Lend a draft; `settled` does what was committed when the block has ended, or nothing.

    The caller holds the container's lock. `frozen` says that the block halts the container.
    """
    folder = folder_of(places, container.name)
    durable.replace(folder / CHANGE, canonical(LayerChange(frozen=frozen)))
    with writable.opened(places, container) as area:
        (area / DRAFTS).mkdir(mode=0o700, exist_ok=True)
        (area / LAYERS).mkdir(mode=0o700, exist_ok=True)
        yield LayerDraft(folder, area)


def settled(places: Places, container: Container, *, layers: bool = True) -> Container:
    """Finish or undo what a change was about, and give the container's record after that.

    Without `layers`, what is to be done to those is left to whoever comes next: a disk that is
    damaged keeps nobody from stopping or removing its container.
    """
    name = container.name
    folder = folder_of(places, name)
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        (folder / f".{CHANGE}.new").unlink()
    try:
        change = msgspec.json.decode((folder / CHANGE).read_bytes(), type=LayerChange)
    except (FileNotFoundError, NotADirectoryError):
        return container
    except msgspec.MsgspecError as error:
        raise HostError(
            f"the record of a change of container `{name}` is damaged: {error}",
            at=folder / CHANGE,
            hint="remove the file if the container is as it should be",
        ) from error
    if change.frozen:
        with contextlib.suppress(FileNotFoundError):
            cgroups.freeze(cgroup_of(places, name), frozen=False)
    if change.rename:
        container = _settle_rename(places, container, change)
    elif not layers:
        return container
    else:
        with writable.opened(places, container) as area:
            if change.ready:
                _move(area, change.moves)
                _note(folder, change)
                container = change.record or container
                # What is left is to remove things, and no step may be done again after that.
                durable.replace(folder / CHANGE, canonical(LayerChange()))
            sweep(folder, area, container.layers)
    (folder / CHANGE).unlink()
    durable.Disk().sync(folder)
    return container


def halts(places: Places, name: str) -> bool:
    """Tell whether a container was halted for a change."""
    with contextlib.suppress(FileNotFoundError, msgspec.MsgspecError):
        data = (folder_of(places, name) / CHANGE).read_bytes()
        return msgspec.json.decode(data, type=LayerChange).frozen
    return False


def snapshots_in(folder: Path) -> dict[str, Snapshot]:
    """Read all snapshots of the container of a folder, the oldest first."""
    found: dict[str, Snapshot] = {}
    with contextlib.suppress(FileNotFoundError):
        for entry in os.listdir(folder / layout.SNAPSHOTS):
            if entry.endswith(".json") and not entry.startswith("."):
                path = folder / layout.SNAPSHOTS / entry
                try:
                    data = path.read_bytes()
                    found[path.stem] = msgspec.json.decode(data, type=Snapshot)
                except msgspec.MsgspecError as error:
                    raise HostError(f"the record of a snapshot is damaged: {error}", at=path) from (
                        error
                    )
    return dict(sorted(found.items(), key=lambda item: (item[1].created, item[0])))


def sweep(folder: Path, area: Path, own: tuple[str, ...]) -> None:
    """Remove drafts, and the layers that are neither the container's own nor a snapshot's."""
    remove_tree(area / DRAFTS)
    needed = set(own)
    for snapshot in snapshots_in(folder).values():
        needed.update(snapshot.layers)
    with contextlib.suppress(FileNotFoundError):
        for layer in os.listdir(area / LAYERS):
            if layer not in needed:
                remove_tree(area / LAYERS / layer)


def _move(area: Path, moves: tuple[tuple[str, str], ...]) -> None:
    disk = durable.Disk()
    for source, target in moves:
        # A step that was done before has its target there already, or its source gone.
        if (area / source).exists() and not _is_taken(area, target):
            disk.rename(area / source, area / target)
            disk.sync((area / target).parent)
            disk.sync((area / source).parent)


def _is_taken(area: Path, target: str) -> bool:
    """Tell whether something is there already, beyond the empty `upper` that `own` puts there."""
    there = area / target
    return there.exists() and not (target == UPPER and not os.listdir(there))


def _note(folder: Path, change: LayerChange) -> None:
    for name, snapshot in change.put.items():
        durable.replace(folder / layout.SNAPSHOTS / f"{name}.json", canonical(snapshot))
    for name in change.drop:
        (folder / layout.SNAPSHOTS / f"{name}.json").unlink(missing_ok=True)
    if change.record is not None:
        durable.replace(folder / layout.RECORD, encode(change.record))


def _settle_rename(places: Places, container: Container, change: LayerChange) -> Container:
    """Finish a change of name, or undo one that has not come to the renaming of the folder."""
    folder, before = folder_of(places, container.name), change.record
    if before is None:
        return container
    if folder.name != change.rename:
        durable.replace(folder / layout.RECORD, encode(before))
        return before
    ids.pass_on(places, before, folder.with_name(before.name), folder)
    return container
