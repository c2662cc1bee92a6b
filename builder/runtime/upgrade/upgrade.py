"""Upgrades: a new template under a container that keeps its own changes, and the way back."""

import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path

import msgspec

from builder.appliance.answers import Given
from builder.appliance.make import Who
from builder.distros.package_manager import PackageWork, package_manager
from builder.host.overlayfs.layered import LayeredEntry
from builder.host.overlayfs.mount import Overlay
from builder.host.overlayfs.mounted import overlaid
from builder.host.places import Places
from builder.host.trees import durable
from builder.host.trees.treeio import TreeIO
from builder.model.errors import ConflictError, HostError, NotFoundError, OvenError, StageError
from builder.model.instance import Instance
from builder.model.interface import Json
from builder.model.progress import Reporter
from builder.runtime.access import exec as inside
from builder.runtime.bundle.remake import remade
from builder.runtime.diff import difference
from builder.runtime.history import snapshots
from builder.runtime.lifecycle import control, keeping
from builder.runtime.record import events, instances
from builder.runtime.record.container import Container, check_name, rootfs_of
from builder.runtime.record.layout import DRAFTS, LAYERS, UPPER, WORK, folder_of
from builder.runtime.recovery import orphans, repair, tasks
from builder.runtime.recovery.held import Held
from builder.runtime.recovery.tasks import Task, UpgradeTrial
from builder.runtime.storage import change, layers, writable
from builder.runtime.storage.change import LayerChange, LayerDraft
from builder.runtime.upgrade import health, plan
from builder.runtime.upgrade.plan import PlannedWrite, Take, Trees, UpgradePlan
from builder.templates.local import Template, Templates

LARGEST = 1 << 30
"""Bytes of a template's file that is put over a container's."""


@dataclass(frozen=True, slots=True)
class UpgradeRequest:
    """What is wanted of an upgrade."""

    template: Template
    """Unpacked."""
    reinstall: bool = False
    """Whether packages that the container has of its own are installed again."""
    start: bool = True
    """Whether it is started to see that it works; else that is left to a person."""
    timeout: float = control.READY_TIMEOUT
    """Seconds that it may take until it is ready."""
    answer: Callable[[Mapping[str, Json]], Mapping[str, Given]] | None = None
    """Gives all answers that the new template's instance gets, from those that it has."""


@dataclass(frozen=True, slots=True)
class UpgradeOutcome:
    """What an upgrade did."""

    plan: UpgradePlan
    snapshot: str
    """What it was before."""


def foresee(places: Places, name: str, order: UpgradeRequest) -> UpgradePlan:
    """Tell what an upgrade would do; changes nothing, and the container may run."""
    check_name(name)
    with repair.holding(places, name) as held, writable.opened(places, held.record) as area:
        _refuse_stranger(held, order.template)
        _answered(held, order)
        return _plan(places, held.record, area, order)


def upgrade(places: Places, name: str, order: UpgradeRequest, report: Reporter) -> UpgradeOutcome:
    """Put a new template under a container, see that it starts, and go back if it does not.

    Raises StageError once all is as before when the container is not healthy.
    """
    foresee(places, name, order)  # what is refused is refused before anything is stopped
    seen = orphans.look(places, name)
    if seen.record.remove:
        raise ConflictError(f"container `{name}` is gone once it is stopped (`run --rm`)")
    before = health.before(seen)
    with tasks.begun(places, name, runs=before.running):
        control.stop(places, name)
        with (
            repair.holding(places, name) as held,
            durable.disk_errors(folder_of(places, name)),
        ):
            held.need_stopped()
            if (instance := _answered(held, order)) is not None:
                instances.save(places, name, instance)
            # Nobody removes the template before the record names it.
            with Templates(places.data).lock():
                outcome, task = _swap(held, order, before)
            events.record(places, name, "upgraded", template=order.template.name)
            snapshots.compact(held)
        if order.start:
            judge(places, name, task, report)
    return outcome


def judge(places: Places, name: str, task: Task, report: Reporter) -> None:
    """See that a container works on a new template, and go back if it does not."""
    trial = task.trial
    assert trial is not None  # or there is nothing to judge
    try:
        control.start(places, name, report, timeout=trial.timeout)
        finish_inside(places, name, trial, report)
        before = health.Before(running=task.runs, failed=frozenset(trial.failed))
        health.check(places, name, before, timeout=trial.timeout)
    except OvenError as error:
        report.say(f"{name} is not healthy; going back to the old template")
        go_back(places, name, task, trial, report)
        raise StageError(
            f"container `{name}` is not healthy on the new template, and is as it was before: "
            f"{error.problem}",
            hint=f"`oven snapshot list {name}` shows what it was on the new one",
            output=error.output if isinstance(error, StageError) else "",
        ) from error
    if not task.runs:
        control.stop(places, name)


def go_back(places: Places, name: str, task: Task, trial: UpgradeTrial, report: Reporter) -> None:
    """Make a container what it was before it was put on a new template."""
    back = msgspec.structs.replace(task, trial=msgspec.structs.replace(trial, back=True))
    tasks.write(places, name, back)
    # What it writes from now on is not wanted, so that it need not be waited for long.
    control.stop(places, name, timeout=min(trial.timeout, control.STOP_TIMEOUT))
    with repair.holding(places, name) as held, durable.disk_errors(folder_of(places, name)):
        wanted = snapshots.find(held, trial.snapshot)
        snapshots.go_back(held, wanted, "rollback")
        tasks.write(places, name, msgspec.structs.replace(task, trial=None))
    if task.runs:
        control.start(places, name, report)


def rollback(places: Places, name: str) -> str:
    """Make a stopped container what it was before its last upgrade; give that snapshot's name."""
    check_name(name)
    with repair.holding(places, name) as held, durable.disk_errors(folder_of(places, name)):
        known = change.snapshots_in(folder_of(places, name))
        made = [key for key, one in known.items() if one.kind == "upgrade"]
        if not made:
            raise NotFoundError(
                f"container `{name}` has not been upgraded",
                hint=f"`oven snapshot list {name}` shows what else one can go back to",
            )
        snapshots.go_back(held, known[made[-1]], "rollback")
        return made[-1]


def _refuse_stranger(held: Held, template: Template) -> None:
    """Raise ConflictError for a template of another distribution or machine, or of other owners."""
    container, name = held.record, held.name
    known = Templates(held.places.data).known(container.template)
    if known is None:
        raise NotFoundError(f"the template `{container.template_name}` is not there")
    old, new = known.manifest, template.manifest
    if (old.distro, old.arch) != (new.distro, new.arch):
        raise ConflictError(
            f"`{template.name}` is {new.distro} for {new.arch}, and container `{name}` is "
            f"{old.distro} for {old.arch}",
            hint="make a new container of it, and take the data over",
        )
    keeping.refuse_template(held.places, container, template.rootfs, new.interface.volumes)


def _answered(held: Held, order: UpgradeRequest) -> Instance | None:
    """Give what an instance is told before it is on the new template; None for what is none.

    Its files stay those of the old one: they follow the template whenever it is started. Raises
    ConflictError for a template that asks for more than is answered.
    """
    before = instances.recovered(held.places, held.name)
    template, who = order.template, Who(held.name, held.record.hostname)
    if before is None and not template.asks:
        return None
    had = before.answers.given if before else {}
    made = remade(template, who, before, order.answer(had) if order.answer else None)
    more = [
        one for one in made.answers.missing if before is None or one not in before.answers.missing
    ]
    if more:
        raise ConflictError(
            f"the template `{template.name}` asks for `{more[0]}`, which is not answered",
            hint=f"say `--set {more[0]}=…`",
        )
    if before is None:
        return msgspec.structs.replace(made, files=(), template="")
    return msgspec.structs.replace(
        before, answers=msgspec.structs.replace(before.answers, given=made.answers.given)
    )


def _plan(places: Places, container: Container, area: Path, order: UpgradeRequest) -> UpgradePlan:
    folders = (area / UPPER, *(area / LAYERS / layer for layer in container.layers))
    with Trees(folders, rootfs_of(places, container), order.template.rootfs) as trees:
        return plan.make(trees, reinstall=order.reinstall)


def _swap(held: Held, order: UpgradeRequest, before: health.Before) -> tuple[UpgradeOutcome, Task]:
    """Change template and upper layer, in one step that is done whole or not at all."""
    places, container = held.places, held.record
    taken = change.snapshots_in(folder_of(places, container.name))
    name = snapshots.free_name(taken, "before-upgrade")
    with held.changing() as draft:
        made = _plan(places, container, draft.area, order)
        if layers.is_unchanged(draft, container):
            kept = container.layers
            moves: layers.Moves = ((UPPER, f"{DRAFTS}/discarded"),)
        else:
            fresh = layers.new_name()
            kept = (fresh, *container.layers)
            moves = ((UPPER, f"{LAYERS}/{fresh}"),)
        moves += layers.fresh_upper(draft, draft.area / UPPER)
        _apply(places, draft, container, made, order.template.rootfs)
        draft.sync()
        record = msgspec.structs.replace(
            container,
            template=order.template.digest,
            template_name=order.template.name,
            layers=kept,
        )
        task = Task(runs=before.running, trial=_trial(name, made, order, before))
        tasks.write(places, container.name, task)
        put = {name: snapshots.describe(container, kept, "upgrade")}
        draft.commit(LayerChange(moves=moves, record=record, put=put))
    return UpgradeOutcome(made, name), task


def _trial(
    snapshot: str, made: UpgradePlan, order: UpgradeRequest, before: health.Before
) -> UpgradeTrial:
    return UpgradeTrial(
        snapshot=snapshot,
        template=order.template.name,
        start=order.start,
        timeout=order.timeout,
        failed=tuple(sorted(before.failed)),
        install=made.work.install,
        automatic=made.work.automatic,
        remove=made.work.remove,
        configs=made.work.configs,
        libraries=made.libraries,
    )


def _apply(
    places: Places, draft: LayerDraft, container: Container, made: UpgradePlan, rootfs: Path
) -> None:
    """Do all steps in a new upper layer, through the very view that the container will have."""
    work = draft.drafts / WORK
    work.mkdir(mode=0o755)
    below = (draft.area / LAYERS / layer for layer in container.layers)
    lowers = (draft.area / UPPER, *below, rootfs)
    seen = Overlay(lowers, draft.drafts / UPPER, work, of_user=places.ordinary)
    with overlaid(seen, places.point) as tree:
        for step in made.steps:
            try:
                if not isinstance(step, Take):
                    _put(tree, step)
                elif step.new is None:
                    tree.remove(step.path)
                else:
                    _take(tree, step.path, rootfs)
            except OSError as error:
                if durable.disk_error(error) is not None:
                    raise
                raise HostError(
                    f"`/{step.path}` cannot be brought up to date: {(error.strerror or '').lower()}"
                ) from error


def _take(tree: TreeIO, path: str, rootfs: Path) -> None:
    """Make a path what the template has there."""
    with TreeIO(rootfs) as template:
        new = LayeredEntry(template, path, template.lstat(path))
        owner = (new.status.st_uid, new.status.st_gid)
        mode = stat.S_IMODE(new.status.st_mode)
        _make_room(tree, path, new)
        if new.is_folder:
            tree.mkdir(path, mode, owner)
            tree.chown(path, owner)
            tree.chmod(path, mode)
        elif stat.S_ISLNK(new.status.st_mode):
            tree.symlink(path, new.target())
            tree.chown(path, owner)
        elif new.is_file:
            tree.write_bytes(path, new.read(LARGEST), mode, owner)
        tree.set_xattrs(path, new.attributes())


def _make_room(tree: TreeIO, path: str, new: LayeredEntry) -> None:
    """Remove what is of another kind; a folder is never taken away for a file."""
    try:
        mode = tree.lstat(path).st_mode
    except OSError:
        return
    if stat.S_IFMT(mode) != stat.S_IFMT(new.status.st_mode) and not stat.S_ISDIR(mode):
        tree.remove(path)


def _put(tree: TreeIO, step: PlannedWrite) -> None:
    status = step.like.status
    owner = (status.st_uid, status.st_gid)
    if tree.is_dir(step.path.rpartition("/")[0]):
        tree.write_bytes(step.path, step.data, stat.S_IMODE(status.st_mode), owner)
        tree.set_xattrs(step.path, step.attributes)


_FINISH_TIMEOUT = 1800.0
"""Seconds that each command may take which a package manager has left to do."""


def finish_inside(places: Places, name: str, made: UpgradeTrial, report: Reporter) -> None:
    """Do inside what an upgrade has left to do there; it may be done again."""
    if made.libraries:
        inside.capture(places, name, ("ldconfig",))
    if not (made.install or made.remove):
        return
    task = report.begin(f"installing packages in {name}")
    try:
        with difference.opened(places, name) as (_, found):
            manager = package_manager(found)
        work = PackageWork(made.install, made.automatic, made.remove, made.configs)
        for words in manager.finish(work):
            _run(places, name, words)
    finally:
        task.close()


def _run(places: Places, name: str, words: tuple[str, ...]) -> None:
    """Run a command as env(1) takes it: what sets the environment comes first."""
    code, output = inside.capture(places, name, ("env", *words), timeout=_FINISH_TIMEOUT)
    if code != 0:
        argv = tuple(dropwhile(lambda word: "=" in word, words))
        raise StageError(
            f"`{argv[0]}` inside ended with status {code}", command=" ".join(argv), output=output
        )
