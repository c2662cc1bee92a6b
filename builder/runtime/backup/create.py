"""Making a backup: the steps inside, a copy as of one moment, and restic, which keeps it."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from builder.host.places import Places
from builder.host.trees import durable
from builder.model.backup import BackupSpec
from builder.model.errors import ConflictError
from builder.model.interface import Interface
from builder.model.progress import Reporter
from builder.model.value import canonical
from builder.runtime.backup import parcel, work
from builder.runtime.backup.parcel import RECORD, VOLUMES, BackupRecord
from builder.runtime.backup.repository import Repository
from builder.runtime.backup.restic import TAG, Restic
from builder.runtime.backup.work import Note, Work
from builder.runtime.record import events, state
from builder.runtime.recovery import orphans, repair
from builder.runtime.storage import live, own_volumes, whole

_SPECIAL = re.compile(r"([\\*?\[])")


def create(places: Places, name: str, repository: Repository, report: Reporter) -> str:
    """Back up an instance; give the id of the backup.

    One that runs is halted for a moment. One that is stopped must need nothing done inside first.
    """
    seen = orphans.look(places, name)
    interface = parcel.interface_of(places, seen.record)
    runs = state.alive(seen.state)
    if runs:
        seen.need_going()  # a person has frozen it, and nothing can be run inside
    elif interface.backup.before:
        raise ConflictError(
            f"container `{name}` is {seen.status}, and a backup begins with"
            f" `{interface.backup.before[0].command[0]}` inside",
            hint=f"`oven start {name}` first",
        )
    restic = Restic(places, repository, report)
    before = restic.listed(name)  # what cannot be reached is known before anything is done inside
    with work.begun(places) as at_work, durable.disk_errors(places.data):
        with _steps(places, name, interface.backup if runs else BackupSpec(), at_work):
            record = _copied(places, name, at_work.folder)
        template = seen.record.template_name
        words = ["--host", name, "--tag", f"{TAG},template:{template}"]
        if before:
            words += ["--parent", before[-1].id]
        words += _excluded(interface, at_work.folder, record)
        made = restic.save(at_work.folder / "all", tuple(words), at_work.lock)
    events.record(places, name, "backup", backup=made)
    return made


@contextlib.contextmanager
def _steps(places: Places, name: str, spec: BackupSpec, at_work: Work) -> Iterator[None]:
    """Have done inside what comes before and after; the latter also where the block fails."""
    at_work.note(Note(name=name, after=spec.after))
    work.run_inside(places, name, spec.before)
    yield
    at_work.note(Note())  # it is done now; were this killed, it would be done twice at most
    work.run_inside(places, name, spec.after)


def _copied(places: Places, name: str, folder: Path) -> BackupRecord:
    """Copy all that goes into a backup to `all/`, as of one moment."""
    everything, beside = folder / "all", folder / "beside"
    for one in (everything, everything / VOLUMES, beside):
        one.mkdir(mode=0o700)
    with repair.holding(places, name) as held:
        record = parcel.describe(places, held.record)
        sources = {
            everything / VOLUMES / one.spec.name: own_volumes.data_of(
                places, f"{one.instance}.{one.spec.name}"
            )
            for one in record.volumes
        }
        if not state.alive(held.state):
            for target, source in sources.items():
                whole.copy_tree(source, target)
        else:
            with held.changing(frozen=not held.state.frozen if held.state else False):
                live.copy_folders(sources, beside, held.cgroup)
    durable.replace(everything / RECORD, canonical(record))
    return record


def _excluded(interface: Interface, folder: Path, record: BackupRecord) -> Iterator[str]:
    """Give restic's options for what is left out, which is said by paths inside."""
    for path in interface.backup.exclude:
        for one in record.volumes:
            below = path.removeprefix(f"{one.spec.place}/")
            if below != path:
                here = _SPECIAL.sub(r"\\\1", str(folder / "all" / VOLUMES / one.spec.name))
                yield f"--exclude={here}/{below}"
