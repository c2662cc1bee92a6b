"""What an instance keeps: volumes of its own, made with it and taken again by its name."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from builder.host.places import Places
from builder.host.trees.treeio import TreeIO
from builder.model.errors import ConflictError, NotFoundError, RecipeError
from builder.model.numbers import number
from builder.model.visible import visible
from builder.model.volume import VolumeSpec, misplaced, overlap
from builder.runtime.bundle.accounts import Table
from builder.runtime.record import state
from builder.runtime.record.container import Bind, Container, check_name, rootfs_of
from builder.runtime.recovery.held import Held
from builder.runtime.storage import own_volumes, volumes
from builder.runtime.storage.own_volumes import Draft, VolumeRecord, Wanted, is_own

_PIN = "`uid` and `gid` in the recipe's `[[volume]]` keep these numbers the same in all templates"


@contextlib.contextmanager
def prepared(
    places: Places, container: Container, specs: Sequence[VolumeSpec]
) -> Iterator[tuple[Container, list[Draft]]]:
    """Give a record with an instance's volumes, and drafts of those that are not there yet.

    Where the record shows something else at a volume's place, that wins. Raises ConflictError for
    a volume that is there and cannot be taken.
    """
    check_name(container.name)
    shown = {bind.target.rstrip("/") for bind in container.binds}
    specs = [one for one in specs if one.place not in shown]
    rootfs = rootfs_of(places, container)
    with contextlib.ExitStack() as stack:
        drafts = []
        for wanted in wanted_of(rootfs, specs, container.ids):
            name = wanted.name(container.name)
            there = own_volumes.read(places, name)
            if there is not None:
                _refuse_used(places, name, container.name)
                refuse_other(name, there, wanted)
                continue
            record = wanted.record(container.name, container.template_name)
            draft = stack.enter_context(own_volumes.drafted(places, name, record))
            own_volumes.fill(draft, rootfs, wanted)
            drafts.append(draft)
        own = [Bind(source=f"{container.name}.{one.name}", target=one.place) for one in specs]
        yield msgspec.structs.replace(container, binds=(*container.binds, *own)), drafts


def wanted_of(rootfs: Path, specs: Sequence[VolumeSpec], most: int) -> list[Wanted]:
    """Find the owners of volumes in a template; below `most`, the ids that a container has."""
    _refuse_odd(specs)
    with TreeIO(rootfs) as tree:
        users, groups = Table(tree, "passwd"), Table(tree, "group")
        return [_wanted(one, users, groups, most) for one in specs]


def refuse_other(name: str, there: VolumeRecord, wanted: Wanted) -> None:
    """Raise ConflictError for a volume whose data a template cannot have as it is."""
    spec, had = wanted.spec, there.spec
    if had.schema > spec.schema:
        raise ConflictError(
            f"the data in the volume `{name}` has the form {had.schema}, and the template knows"
            f" forms up to {spec.schema}",
            hint="take a newer template, or restore data of the older form",
        )
    for what, owner, before, now in (
        ("user", spec.owner, there.uid, wanted.uid),
        ("group", spec.group or spec.owner, there.gid, wanted.gid),
    ):
        if before != now:
            raise ConflictError(
                f"the data in the volume `{name}` belongs to the {what} {before}, and in the"
                f" template the {what} `{owner}` is {now}",
                hint=f"{_PIN}: build the template with {'uid' if what == 'user' else 'gid'} = "
                f"{before}",
            )


@contextlib.contextmanager
def copied(
    held: Held, copy: Container, *, live: bool
) -> Iterator[tuple[Container, list[Draft], dict[Path, Path]]]:
    """Give the record of a clone with volumes of its own, and drafts of these.

    Those that their instance may change meanwhile are empty, where `live` lets it run: the folders
    that are to be copied are given by where they go. Raises ConflictError while anybody else could
    change what is copied, and for volumes that are there.
    """
    places, drafts, binds = held.places, list[Draft](), list[Bind]()
    moving = live and state.alive(held.state)
    sources = dict[Path, Path]()
    with contextlib.ExitStack() as stack:
        for bind in copy.binds:
            record = own_volumes.read(places, bind.source) if is_own(bind) else None
            if record is None:
                binds.append(bind)
                continue
            _refuse_running(places, bind.source, but=held.record.name if moving else "")
            name = f"{copy.name}.{record.spec.name}"
            _refuse_there(places, name)
            record = msgspec.structs.replace(record, instance=copy.name)
            draft = stack.enter_context(own_volumes.drafted(places, name, record))
            if moving:
                sources[draft.data] = own_volumes.data_of(places, bind.source)
            else:
                own_volumes.copy(draft, places, bind.source)
            drafts.append(draft)
            binds.append(msgspec.structs.replace(bind, source=name))
        yield msgspec.structs.replace(copy, binds=tuple(binds)), drafts, sources


@contextlib.contextmanager
def restored(
    places: Places,
    container: Container,
    specs: Sequence[VolumeSpec],
    had: Mapping[str, VolumeRecord],
    data: Path,
) -> Iterator[tuple[Container, list[Draft]]]:
    """Give the record of an instance with volumes as a backup `had` them, and drafts of these.

    `data` has the folder of each by its name, whoever wrote it; what is taken is moved. Of the
    volumes that the template keeps and the backup lacks, each begins as the template's folder.
    Raises ConflictError for a volume that is there, and for data that the template cannot have.
    """
    more = [one.spec for name, one in had.items() if name not in {spec.name for spec in specs}]
    rootfs = rootfs_of(places, container)
    _refuse_odd([*specs, *more])
    found = wanted_of(rootfs, specs, container.ids)
    found += [Wanted(one, had[one.name].uid, had[one.name].gid) for one in more]
    with contextlib.ExitStack() as stack:
        drafts = []
        for wanted in found:
            name, before = wanted.name(container.name), had.get(wanted.spec.name)
            if before is not None:
                refuse_other(name, before, wanted)
            _refuse_there(places, name)
            record = wanted.record(container.name, container.template_name)
            if before is not None:
                # Its data has the form that it had, until somebody brings it to another one.
                record = msgspec.structs.replace(record, spec=before.spec)
            draft = stack.enter_context(own_volumes.drafted(places, name, record))
            if before is None:
                own_volumes.fill(draft, rootfs, wanted)
            else:
                own_volumes.take(draft, data, wanted.spec.name)
            drafts.append(draft)
        binds = [Bind(source=one.name(container.name), target=one.spec.place) for one in found]
        yield msgspec.structs.replace(container, binds=(*container.binds, *binds)), drafts


def _refuse_there(places: Places, name: str) -> None:
    if own_volumes.read(places, name) is not None:
        raise ConflictError(
            f"there is a volume `{name}` already",
            hint=f"choose another name, or `oven volume rm {name}`",
        )


def _refuse_running(places: Places, name: str, but: str) -> None:
    for user in volumes.find(places, name).users:
        if user != but and state.alive(state.read(places, user)):
            raise ConflictError(
                f"the volume `{name}` cannot be copied while `{user}` runs",
                hint=f"`oven stop {user}` first",
            )


def refuse_template(
    places: Places, container: Container, rootfs: Path, specs: Sequence[VolumeSpec]
) -> None:
    """Raise ConflictError for a template that cannot have the volumes of a container as they are.

    Volumes that it does not know stay, and are shown where they were.
    """
    there = {}
    for name in own_names(container):
        if (record := own_volumes.read(places, name)) is not None:
            there[record.spec.name] = (name, record)
    known = [one for one in specs if one.name in there]
    for wanted in wanted_of(rootfs, known, container.ids) if known else ():
        refuse_other(*there[wanted.spec.name], wanted)


def own_names(container: Container) -> tuple[str, ...]:
    """Name the volumes that a container has as an instance."""
    return tuple(bind.source for bind in container.binds if is_own(bind))


def drop(
    places: Places, container: Container, but: frozenset[str] = frozenset()
) -> tuple[list[str], list[str]]:
    """Remove the volumes of an instance that is gone, but for some of them.

    Gives the names of those, and of those that others use.
    """
    gone, kept = [], []
    for name in own_names(container):
        if name in but:
            continue
        with contextlib.suppress(NotFoundError):
            try:
                volumes.remove(places, name)
                gone.append(name)
            except ConflictError:
                kept.append(name)
    return gone, kept


def _refuse_odd(specs: Sequence[VolumeSpec]) -> None:
    """Refuse what the rules for recipes do not let through; a template may be anybody's."""
    for index, one in enumerate(specs):
        if (why := misplaced(one)) is not None:
            raise RecipeError(f"no volume can be at `{visible(one.path)}`: {why}")
        for other in specs[:index]:
            if one.name == other.name or overlap(one, other):
                raise RecipeError(
                    f"the template's volumes `{other.name}` and `{one.name}` are not apart"
                )


def _wanted(spec: VolumeSpec, users: Table, groups: Table, most: int) -> Wanted:
    user = users.find(spec.owner)
    group = groups.find(spec.group) if spec.group else None
    if user is None or (spec.group and group is None):
        missing = f"user `{spec.owner}`" if user is None else f"group `{spec.group}`"
        raise RecipeError(
            f"the volume `{spec.name}` belongs to the {missing}, which the template does not have"
        )
    uid, gid = number(user[2], most - 1), number(group[2] if group else user[3], most - 1)
    if uid is None or gid is None:
        raise RecipeError(f"the owner of the volume `{spec.name}` has no number below {most}")
    return Wanted(spec, uid, gid)


def _refuse_used(places: Places, name: str, instance: str) -> None:
    users = [one for one in volumes.find(places, name).users if one != instance]
    if users:
        raise ConflictError(
            f"the volume `{name}` is used by {', '.join(f'`{one}`' for one in users)}",
            hint="choose another name, or say `--volume OTHER:/FOLDER` for the same folder",
        )
