"""Restoring: a new instance of a backup, there whole or not at all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from builder.appliance.make import Who
from builder.host.places import Places
from builder.host.trees import durable
from builder.model.errors import ConflictError, NotFoundError
from builder.model.instance import Instance
from builder.model.progress import Reporter
from builder.runtime.backup import parcel, work
from builder.runtime.backup.parcel import VOLUMES, BackupRecord
from builder.runtime.backup.repository import Repository
from builder.runtime.backup.restic import Backup, Restic
from builder.runtime.backup.work import Note, Work
from builder.runtime.bundle.remake import remade
from builder.runtime.history import transfer
from builder.runtime.history.transfer import Parcel, Taken
from builder.runtime.lifecycle import allowed, create, keeping
from builder.runtime.record import events, instances
from builder.runtime.record.container import Container, check_name
from builder.runtime.record.layout import folder_of
from builder.runtime.storage.own_volumes import Draft
from builder.store import Store
from builder.templates.exchange import unpack_template
from builder.templates.local import Template, Templates


@dataclass(frozen=True, slots=True)
class RestoreRequest:
    """What is to be made of which backup."""

    name: str
    """The instance that was backed up."""
    new: str
    """The name of the instance that is made."""
    backup: str = "latest"
    """Which of the backups, by the first digits of its id."""
    template: str = ""
    """The template to stand on; by default the one that the instance stood on."""
    apart: bool = False
    """Whether it has no network and serves nobody."""


def restore(
    places: Places, wanted: RestoreRequest, repository: Repository, report: Reporter
) -> Taken:
    """Make a new instance of a backup, with its data, answers and secrets; it is stopped.

    ConflictError where there is one of that name, or where the template cannot have the data.
    """
    check_name(wanted.new)
    refuse_taken(places, wanted.new)
    restic = Restic(places, repository, report)
    backup = pick(restic, wanted.name, wanted.backup)
    with work.begun(places) as at_work, durable.disk_errors(places.data):
        return lay(places, wanted, restic, (backup, at_work))


def lay(places: Places, wanted: RestoreRequest, restic: Restic, of: tuple[Backup, Work]) -> Taken:
    """Make the instance of a backup, in a private folder that is swept by whoever comes next."""
    backup, at_work = of
    folder = at_work.folder / "all"
    folder.mkdir(mode=0o700)
    restic.restore(backup, folder, at_work.lock)
    source = Path(f"backup {backup.short}")
    record = parcel.read(folder, source)
    taken = transfer.accepted(record.parcel, wanted.new, source)
    taken.notes = [note for note in taken.notes if not note.startswith("no folder of this host")]
    templates = Templates(places.data)
    template = _template(places, wanted, record)
    with templates.held(template.digest):
        fresh = _described(taken.container, template, apart=wanted.apart)
        allowed.check(places, fresh)
        specs = template.manifest.interface.volumes
        had = {one.spec.name: one for one in record.volumes}
        with keeping.restored(places, fresh, specs, had, folder / VOLUMES) as (fresh, drafts):
            extras = _extras(record.parcel, template, fresh)
            at_work.note(
                Note(volumes=_inodes(drafts), throwaway=wanted.new if wanted.apart else "")
            )
            taken.container = create.make(places, fresh, extras, drafts)
    events.record(places, wanted.new, "created", template=template.name, source=wanted.name)
    return taken


def pick(restic: Restic, name: str, wanted: str) -> Backup:
    """Find a backup of an instance; NotFoundError where there is none, or more than one."""
    known = restic.listed(name)
    if wanted == "latest" and known:
        return known[-1]
    found = [one for one in known if one.id.startswith(wanted)]
    if len(found) != 1:
        what = f"`{wanted}`" if known else "at all"
        raise NotFoundError(
            f"`{name}` has {len(found) or 'no'} backup{'s' * (len(found) > 1)} {what} there",
            hint=f"`oven backup list {name}` shows those that exist",
        )
    return found[0]


def refuse_taken(places: Places, name: str) -> None:
    """Raise ConflictError where there is a container of that name."""
    if folder_of(places, name).exists():
        raise ConflictError(
            f"there is a container `{name}` already",
            hint=f"choose another name, or `oven destroy {name}`",
        )


def _template(places: Places, wanted: RestoreRequest, record: BackupRecord) -> Template:
    """Find the template to stand on, unpacked: the same, else what has its name by now."""
    templates, stood = Templates(places.data), record.parcel.container
    found = templates.find(wanted.template) if wanted.template else templates.known(stood.template)
    if found is None:
        try:
            found = templates.find(stood.template_name)
        except NotFoundError as error:
            raise NotFoundError(
                f"the template `{stood.template_name}` of the backup is not here",
                hint="build it, import it or pull it, or say `--template` for another one",
            ) from error
    unpack_template(found, templates, Store(places.cache))
    return found


def _described(accepted: Container, template: Template, *, apart: bool) -> Container:
    """Give the record of an instance that stands on a template, and is another machine."""
    import os

    made = msgspec.structs.replace(
        accepted,
        template=template.digest,
        template_name=template.name,
        uuid=os.urandom(16).hex(),
        layers=(),
    )
    if not apart:
        return made
    return msgspec.structs.replace(
        made, interfaces=(), ports=(), restart="no", protected=False, devices=()
    )


def _extras(had: Parcel, template: Template, made: Container) -> Mapping[str, bytes]:
    """Give the file with what the instance is told: what it was, as this template has it."""
    told = had.instance if isinstance(had.instance, Instance) else None
    if told is None and not template.asks:
        return {}
    who = Who(made.name, made.hostname)
    return instances.extras(remade(template, who, told.without_files() if told else None))


def _inodes(drafts: Sequence[Draft]) -> dict[str, int]:
    return {one.name: one.folder.stat().st_ino for one in drafts}
