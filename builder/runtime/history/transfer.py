"""Transfer: a whole container as one file, and a container of such a file, whoever made it."""

import contextlib
import ipaddress
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

from builder import __version__
from builder.distros.identity import forget_identity
from builder.formats.container import Reader, writing
from builder.formats.tar.unpack import unpack
from builder.host.kernel import cgroups
from builder.host.places import Places
from builder.host.trees import durable
from builder.model.errors import ConflictError, NotFoundError, RecipeError, TrustError
from builder.model.instance import Instance
from builder.model.names import Name
from builder.model.value import Digest, Value, canonical
from builder.runtime.bundle import names
from builder.runtime.history import instance_copy
from builder.runtime.lifecycle import create
from builder.runtime.record import events, instances, state
from builder.runtime.record.container import HOST_NAME, NAME, Container, check_name, readable
from builder.runtime.record.layout import (
    DRAFTS,
    LAYERS,
    PENDING,
    SNAPSHOTS,
    UPPER,
    folder_of,
)
from builder.runtime.recovery import repair
from builder.runtime.recovery.held import Held
from builder.runtime.storage import change, live
from builder.runtime.storage.change import Snapshot
from builder.runtime.storage.merged import merged
from builder.store import Store
from builder.templates.exchange import export_template, unpack_template
from builder.templates.local import ROOTFS, Templates

_ROOM = 1 << 30
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LAYER = re.compile(r"[0-9a-f]{12}")
_UUID = re.compile(r"[0-9a-f]{32}")
_MOST_LAYERS = 10_000
_LAST = 253402300799
"""The last second of the year 9999."""


class Parcel(Value, frozen=True, kw_only=True):
    """What is known of a container in a file; its first entry."""

    version: Literal[1] = 1
    oven: str
    """The version of Oven that wrote it."""
    container: Container
    snapshots: dict[str, Snapshot] = {}
    instance: Instance | msgspec.UnsetType = msgspec.UNSET
    """What one of an appliance was told; its files are made of that where it starts."""


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What of a container is written."""

    snapshots: bool = True
    template: bool = False
    """Whether the template comes along, for hosts that do not have it."""


@dataclass(slots=True)
class Taken:
    """A container that was taken in, and what of the file was not."""

    container: Container
    notes: list[str] = field(default_factory=list)


def export_container(places: Places, name: str, file: BinaryIO, packing: ExportOptions) -> None:
    """Write a container to an open file. One that runs is halted for a moment."""
    check_name(name)
    folder = folder_of(places, name)
    with repair.holding(places, name) as held, durable.disk_errors(folder):
        container = held.record
        if (folder / PENDING).exists():
            raise ConflictError(
                f"container `{name}` has not got its first-boot data yet, which stays behind",
                hint=f"`oven start {name}` once, or create one without where it is taken to",
            )
        kept = change.snapshots_in(folder) if packing.snapshots else {}
        told = instances.recovered(places, name)
        parcel = Parcel(
            oven=__version__,
            container=container,
            snapshots=kept,
            instance=told.without_files() if told else msgspec.UNSET,
        )
        with contextlib.ExitStack() as stack:
            area, upper = stack.enter_context(_still(held))
            writer = stack.enter_context(writing(file, jobs=os.cpu_count() or 1))
            writer.record(canonical(parcel))
            if packing.template:
                writer.template(stack.enter_context(_packed(places, container)))
            for layer in _layers_of(parcel):
                writer.layer(area / LAYERS / layer, f"{LAYERS}/{layer}".encode())
            writer.layer(upper, UPPER.encode())
            writer.finish()


def import_container(
    places: Places, source: Path, name: str | None, *, as_another: bool = False
) -> Taken:
    """Make a container of a file, whole or not at all; nothing of it is run.

    One that is taken in `as_another` makes its machine-id and its keys anew when it starts.
    """
    try:
        file = source.open("rb")
    except OSError as error:
        raise RecipeError(f"cannot read `{source}`: {error.strerror}") from error
    with file:
        places.data.mkdir(parents=True, exist_ok=True)
        room = os.statvfs(places.data)
        # What is larger than the disk ends with the disk's own error.
        reader = Reader(file, source, most=room.f_bavail * room.f_frsize + _ROOM)
        parcel = _parcel(reader.record(), source)
        taken = accepted(parcel, name, source)
        _see_to_identity(places, taken, as_another=as_another)
        parts = [f"{LAYERS}/{layer}".encode() for layer in _layers_of(parcel)]
        templates = Templates(places.data)
        stands_on = _see_to_template(places, taken, templates, reader)
        taken.container = msgspec.structs.replace(taken.container, template=stands_on)
        kept = _with_templates(parcel, taken, templates)

        def fill(made: Container, area: Path) -> None:
            _unpack_layers(reader, parts, area)
            folder = folder_of(places, made.name)
            for key, one in kept.items():
                durable.replace(folder / SNAPSHOTS / f"{key}.json", canonical(one))
            change.sweep(folder, area, made.layers)
            _tell_again(places, parcel, made, taken.container.name if as_another else None)
            if as_another or made.hostname != parcel.container.hostname:
                with merged(places, made, area) as tree:
                    names.drop(tree, parcel.container.hostname)
                    if as_another:
                        forget_identity(tree)

        with templates.held(stands_on):
            taken.container = create.make_filled(places, taken.container, fill)
    events.record(places, taken.container.name, "imported")
    return taken


def _tell_again(places: Places, parcel: Parcel, made: Container, another: str | None) -> None:
    """Have an instance be what it was told, or under the name of `another` have its own secrets."""
    if not isinstance(parcel.instance, Instance):
        return
    told = parcel.instance.without_files()  # whoever made the file
    if another is not None:
        told = instance_copy.another(places, told, made, another)
    instances.save(places, made.name, told)


def _unpack_layers(reader: Reader, names: list[bytes], area: Path) -> None:
    draft = area / DRAFTS
    draft.mkdir(mode=0o700)
    reader.layers(draft, frozenset((UPPER.encode(), *names)))
    (area / UPPER).rmdir()
    (draft / UPPER).rename(area / UPPER)
    if names:
        (draft / LAYERS).rename(area / LAYERS)
        (area / LAYERS).chmod(0o700)


@contextlib.contextmanager
def _still(held: Held) -> Iterator[tuple[Path, Path]]:
    """Give the folder with the layers, and an upper layer that nobody changes."""
    running = state.alive(held.state)
    halts = running and not cgroups.is_frozen(held.cgroup)
    with held.changing(frozen=halts) as draft:
        if not running:
            yield draft.area, draft.area / UPPER
            return
        copy = draft.drafts / UPPER
        live.copy_upper(draft, copy, held.cgroup)
        yield draft.area, copy


@contextlib.contextmanager
def _packed(places: Places, container: Container) -> Iterator[Path]:
    """Give the tarball of a container's template."""
    templates = Templates(places.data)
    template = templates.known(container.template)
    if template is None:
        raise NotFoundError(f"the template `{container.template_name}` is not there")
    with templates.draft() as draft:
        yield export_template(template, draft, jobs=os.cpu_count() or 1)


def _layers_of(parcel: Parcel) -> list[str]:
    """Name each layer once, those of the container first."""
    found = dict.fromkeys(parcel.container.layers)
    for snapshot in parcel.snapshots.values():
        found.update(dict.fromkeys(snapshot.layers))
    return list(found)


def _parcel(data: bytes, source: Path) -> Parcel:
    try:
        parcel = msgspec.json.decode(data, type=Parcel)
        names = [parcel.container.template_name]
        names += [one.template_name for one in parcel.snapshots.values()]
        msgspec.convert(names, list[Name])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise TrustError(
            f"the record of the container cannot be read: {error}",
            at=source,
            hint="a newer Oven may have written it",
        ) from error
    return parcel


def accepted(parcel: Parcel, name: str | None, source: Path) -> Taken:
    """Give the record as it may be kept here, after a look at every field of it."""
    for what, fine in _checks(parcel):
        if not fine:
            raise TrustError(f"the record of the container has a wrong `{what}`", at=source)
    given = parcel.container
    chosen = check_name(name or given.name)
    taken = Taken(
        msgspec.structs.replace(
            given,
            name=chosen,
            hostname=chosen if given.hostname == given.name else given.hostname,
            binds=(),
            interfaces=tuple(msgspec.structs.replace(one, host=None) for one in given.interfaces),
            autostart=None,
            remove=False,
            address_key="",
            rootfs="",
        )
    )
    if given.binds:
        targets = ", ".join(one.target for one in given.binds)
        taken.notes.append(f"no folder of this host is shown inside ({targets}); `oven set` does")
    taken.notes += _kept(given)
    if any(one.host not in {None, "none"} for one in given.interfaces):
        taken.notes.append("of this host it reaches what its networks say; `oven set` changes that")
    if given.autostart is not None:
        taken.notes.append("it is not started with this host; `oven set` changes that")
    return taken


def _kept(given: Container) -> Iterator[str]:
    """Tell what of the record reaches beyond the container, and comes from who made the file."""
    parts = {
        "is on": [f"the network `{one.network}`" for one in given.interfaces],
        "publishes": [f"port {port}" for port in given.ports],
        "is started again when it ends": [f"({given.restart})"] if given.restart != "no" else [],
        "is protected": ["from `oven destroy`"] if given.protected else [],
    }
    words = [f"{verb} {', '.join(what)}" for verb, what in parts.items() if what]
    if words:
        yield f"as the file says it {'; '.join(words)}; `oven set` changes that"


def _see_to_identity(places: Places, taken: Taken, *, as_another: bool) -> None:
    if as_another:
        taken.container = msgspec.structs.replace(taken.container, uuid=os.urandom(16).hex())
    else:
        taken.notes += _same_identity(places, taken.container)


def _same_identity(places: Places, container: Container) -> Iterator[str]:
    """Tell of those that would be the same machine for whoever meets both."""
    for one in readable(places):
        if one.uuid == container.uuid:
            yield (
                f"it has the machine-id and the keys of container `{one.name}`;"
                " `oven import --as-another` makes it another machine"
            )


def _checks(parcel: Parcel) -> Iterator[tuple[str, bool]]:
    """Name what could do harm in a record, and tell whether it is as it must be."""
    given, kept = parcel.container, parcel.snapshots.values()
    addresses = [port.address for port in given.ports]
    for one in given.interfaces:
        addresses += [one.address or "", one.address6 or ""]
    named = _layers_of(parcel)
    digests = [given.template, *(one.template for one in kept)]
    times = (given.created, *(one.created for one in kept))
    yield "template", all(_DIGEST.fullmatch(digest) for digest in digests)
    yield "layers", all(map(_LAYER.fullmatch, named)) and len(named) < _MOST_LAYERS
    yield "snapshots", all(map(NAME.fullmatch, parcel.snapshots))
    yield "uuid", bool(_UUID.fullmatch(given.uuid))
    yield "hostname", bool(HOST_NAME.fullmatch(given.hostname))
    yield "name", bool(NAME.fullmatch(given.name))
    yield "networks", all(NAME.fullmatch(one.network) for one in given.interfaces)
    # These become part of the firewall's rules.
    yield "addresses", all(map(_is_address, addresses))
    yield "times", all(0 <= time <= _LAST for time in times)


def _is_address(text: str) -> bool:
    """Tell whether a text is an address, or empty; scopes may hold anything (RFC 4007)."""
    try:
        return not text or (bool(ipaddress.ip_interface(text)) and "%" not in text)
    except ValueError:
        return False


def _see_to_template(places: Places, taken: Taken, templates: Templates, reader: Reader) -> Digest:
    """Have the template here, from the file if it is in there and needed; give its identity."""
    wanted, name = taken.container.template, taken.container.template_name
    known = templates.known(wanted)
    if known is not None:
        reader.template(None)
        unpack_template(known, templates, Store(places.cache))
        return wanted
    with templates.draft() as draft:
        packed = draft / "packed"
        if not reader.template(packed):
            raise NotFoundError(
                f"the template `{name}` ({wanted.removeprefix('sha256:')[:12]}) is not here",
                hint="export the container with `--with-template`, or the template with "
                f"`oven template export {name}` and take that in first",
            )
        unpacked = unpack(packed, draft / ROOTFS)
        packed.unlink()
        used = any(unpacked.manifest.name in one.names for one in templates.every())
        tag = None if used else unpacked.manifest.name
        templates.add(draft, unpacked.manifest, unpacked.digest, tag)
    if unpacked.digest != wanted:
        taken.notes.append(f"the template `{name}` was packed anew, and has another digest now")
    return unpacked.digest


def _with_templates(parcel: Parcel, taken: Taken, templates: Templates) -> dict[str, Snapshot]:
    """Give the snapshots, without those whose template is not here."""
    kept: dict[str, Snapshot] = {}
    for name, one in parcel.snapshots.items():
        same = one.template == parcel.container.template
        digest = taken.container.template if same else one.template
        known = templates.known(digest)
        if known is not None and known.unpacked:
            kept[name] = msgspec.structs.replace(one, template=digest)
        else:
            taken.notes.append(
                f"the snapshot `{name}` is left out: its template `{one.template_name}` is not here"
            )
    return kept
