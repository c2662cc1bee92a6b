"""What a backup tells of its instance, beside the data; anybody may have written it."""

from pathlib import Path
from typing import Literal

import msgspec

from builder import __version__
from builder.host.places import Places
from builder.host.trees.treeio import TreeIO
from builder.model.errors import NotFoundError, OvenError, TrustError
from builder.model.interface import Interface
from builder.model.value import Value
from builder.runtime.history.transfer import Parcel
from builder.runtime.record import instances
from builder.runtime.record.container import Container
from builder.runtime.storage import own_volumes
from builder.runtime.storage.own_volumes import VolumeRecord, is_own
from builder.templates.local import Templates

RECORD, VOLUMES = "backup.json", "volumes"
_MOST = 64 << 20


class BackupRecord(Value, frozen=True, kw_only=True):
    """What is known of an instance; `backup.json` in its backup."""

    version: Literal[1] = 1
    parcel: Parcel
    """The container, without what was changed in it, and what it was told."""
    volumes: tuple[VolumeRecord, ...]
    """Those whose data is in the backup, in `volumes/NAME`."""


def interface_of(places: Places, container: Container) -> Interface:
    """Give what the template of a container says of its instances."""
    template = Templates(places.data).known(container.template)
    if template is None:
        raise NotFoundError(f"the template `{container.template_name}` is not there")
    return template.manifest.interface


def describe(places: Places, container: Container) -> BackupRecord:
    """Describe an instance as it is; the caller holds its lock."""
    told = instances.recovered(places, container.name)
    own = [own_volumes.read(places, bind.source) for bind in container.binds if is_own(bind)]
    return BackupRecord(
        parcel=Parcel(
            oven=__version__,
            container=msgspec.structs.replace(container, layers=()),
            instance=told.without_files() if told else msgspec.UNSET,
        ),
        volumes=tuple(one for one in own if one is not None and one.spec.backup),
    )


def read(folder: Path, source: Path) -> BackupRecord:
    """Read what a backup tells; TrustError for one that is not Oven's, or harmful."""
    try:
        with TreeIO(folder) as tree:
            data = tree.read_bytes(RECORD, _MOST)
        record = msgspec.json.decode(data, type=BackupRecord)
    except (OSError, OvenError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise TrustError(
            f"the record of the backup cannot be read: {error}",
            at=source,
            hint="it is none of Oven's, or a newer one has made it",
        ) from error
    most = record.parcel.container.ids
    names = [one.spec.name for one in record.volumes]
    fine = all(0 <= number < most for one in record.volumes for number in (one.uid, one.gid))
    if not fine or len(set(names)) < len(names):
        raise TrustError("the record of the backup has wrong `volumes`", at=source)
    if record.parcel.container.layers or record.parcel.snapshots:
        raise TrustError("the record of the backup has wrong `layers`", at=source)
    return record
