"""Snapshots: what a container was at one moment, and going back to that."""

import errno
import time
from pathlib import Path

import msgspec

from builder.host.places import Places
from builder.host.trees import durable
from builder.model.errors import ConflictError, NotFoundError
from builder.runtime.record import events, state
from builder.runtime.record.container import Container, check_name, rootfs_of
from builder.runtime.record.layout import DRAFTS, LAYERS, UPPER, folder_of
from builder.runtime.record.seen import Seen
from builder.runtime.recovery import orphans, repair
from builder.runtime.recovery.held import Held
from builder.runtime.storage import change, layers
from builder.runtime.storage.change import Kind, LayerChange, LayerDraft, Snapshot


def create(places: Places, name: str, snapshot: str | None = None, kind: Kind = "asked") -> str:
    """Keep what a container is now; give the snapshot's name.

    Of a stopped container it is instant. What a running one has changed is copied while it goes
    on; it is halted for a moment at the end.
    """
    with repair.holding(places, name) as held, durable.disk_errors(folder_of(places, name)):
        container = held.record
        taken = change.snapshots_in(folder_of(places, name))
        snapshot = check_name(snapshot) if snapshot else free_name(taken, "snap")
        if snapshot in taken:
            raise ConflictError(
                f"container `{name}` has a snapshot `{snapshot}` already",
                hint=f"choose another name, or `oven snapshot rm {name} {snapshot}`",
            )
        running = state.alive(held.state)
        with held.changing(frozen=running and _halts(held)) as draft:
            if running:
                kept, moves = layers.copied(draft, container, held.cgroup)
                record = None
            else:
                _refuse_more(container)
                kept, moves = layers.set_aside(draft, container)
                record = msgspec.structs.replace(container, layers=kept)
            put = {snapshot: describe(container, kept, kind, running=running)}
            draft.commit(LayerChange(moves=moves, record=record, put=put))
        events.record(places, name, "snapshot", snapshot=snapshot, reason=kind)
        if not running:
            compact(held)
    return snapshot


def listed(places: Places, name: str) -> dict[str, Snapshot]:
    """Give the snapshots of a container by name, the oldest first."""
    return change.snapshots_in(orphans.look(places, name).folder)


def restore(places: Places, name: str, snapshot: str, *, discard: bool = False) -> str | None:
    """Make a stopped container what it was; what it is now becomes a snapshot, whose name is given.

    With `discard` it is thrown away. Name, ids, limits, networks and ports stay as they are.
    """
    with repair.holding(places, name) as held, durable.disk_errors(folder_of(places, name)):
        return go_back(held, find(held, snapshot), "restore", discard=discard)


def go_back(held: Held, wanted: Snapshot, kind: Kind, *, discard: bool = False) -> str | None:
    """Do what `restore` does."""
    places, container, name = held.places, held.record, held.name
    held.need_stopped()
    record = msgspec.structs.replace(
        container,
        template=wanted.template,
        template_name=wanted.template_name,
        layers=wanted.layers,
    )
    if not rootfs_of(places, record).is_dir():
        raise NotFoundError(
            f"the tree of template `{wanted.template_name}` is not there",
            at=rootfs_of(places, record),
        )
    taken = change.snapshots_in(folder_of(places, name))
    before = None if discard else free_name(taken, f"before-{kind}")
    with held.changing() as draft:
        put = {}
        if before is None:
            moves: layers.Moves = ((UPPER, f"{DRAFTS}/discarded"),)
        elif layers.is_unchanged(draft, container):
            put[before] = describe(container, container.layers, kind)
            moves = ((UPPER, f"{DRAFTS}/discarded"),)
        else:
            fresh = layers.new_name()
            put[before] = describe(container, (fresh, *container.layers), kind)
            moves = ((UPPER, f"{LAYERS}/{fresh}"),)
        moves += layers.fresh_upper(draft, top_of(draft, wanted.layers))
        draft.commit(LayerChange(moves=moves, record=record, put=put))
    events.record(places, name, "restored", reason=kind, template=wanted.template_name)
    return before


def remove(places: Places, name: str, names: tuple[str, ...]) -> None:
    """Remove snapshots, and the layers that nothing else needs."""
    with repair.holding(places, name) as held, durable.disk_errors(folder_of(places, name)):
        for snapshot in names:
            find(held, snapshot)
        with held.changing() as draft:
            draft.commit(LayerChange(drop=names))


def compact(held: Held) -> None:
    """Merge the layers of a stopped container where there are many.

    Snapshots keep theirs. No data is copied: the merged layer has links to the same files.
    """
    if len(held.record.layers) <= layers.MOST:
        return
    try:
        with held.changing() as draft:
            merged, moves = layers.merge(draft, held.record.layers)
            record = msgspec.structs.replace(held.record, layers=(merged,))
            draft.commit(LayerChange(moves=moves, record=record))
    except OSError as error:
        # Folders within folders without end: it works with many layers too, up to a point.
        if error.errno != errno.ENAMETOOLONG:
            raise


def need(places: Places, name: str, snapshot: str) -> None:
    """Raise NotFoundError unless a container has that snapshot."""
    find(orphans.look(places, name), snapshot)


def find(container: Seen, snapshot: str) -> Snapshot:
    """Give a snapshot by its name; raises NotFoundError."""
    known = change.snapshots_in(container.folder)
    if snapshot not in known:
        raise NotFoundError(
            f"container `{container.name}` has no snapshot `{snapshot}`",
            hint=f"`oven snapshot list {container.name}` shows those that exist",
        )
    return known[snapshot]


def describe(
    container: Container, kept: tuple[str, ...], kind: Kind, *, running: bool = False
) -> Snapshot:
    """Make the record of a snapshot."""
    return Snapshot(
        created=time.time(),
        kind=kind,
        template=container.template,
        template_name=container.template_name,
        layers=kept,
        running=running,
        limits=container.limits,
    )


def free_name(taken: dict[str, Snapshot], begin: str) -> str:
    """Make a name of the time, such as `snap-20260301-120000`."""
    plain = f"{begin}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
    if plain not in taken:
        return plain
    return next(name for n in range(2, 1 << 20) if (name := f"{plain}-{n}") not in taken)


def top_of(draft: LayerDraft, kept: tuple[str, ...]) -> Path | None:
    """Give the layer whose root folder is that of the container."""
    return draft.area / LAYERS / kept[0] if kept else None


def _refuse_more(container: Container) -> None:
    """Raise ConflictError where there are as many layers as mount(2) can be told of."""
    if len(container.layers) >= 4 * layers.MOST:
        raise ConflictError(
            f"container `{container.name}` has too many layers, and they cannot be merged: "
            "it has folders nested too deeply",
            hint="remove what is nested so deeply, or go back to an early snapshot",
        )


def _halts(held: Held) -> bool:
    """Tell whether the snapshot is what halts a container, so that it has to be let go on."""
    from builder.host.kernel import cgroups

    return not cgroups.is_frozen(held.cgroup)
