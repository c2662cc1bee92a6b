"""Changing a container that exists: its record, and at once what of it the kernel holds."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec

from builder.host.places import Places
from builder.host.trees import durable
from builder.model.errors import OvenError
from builder.runtime import reconcile
from builder.runtime.bundle import live_devices, memory_files, names
from builder.runtime.bundle.live_devices import Plan
from builder.runtime.lifecycle import allowed
from builder.runtime.record import events, layout, state
from builder.runtime.record.container import Container, check_name, encode
from builder.runtime.recovery import repair
from builder.runtime.recovery.held import Held
from builder.runtime.resources import limits
from builder.runtime.storage import volumes, writable
from builder.runtime.storage.merged import merged

_AT_START = ("interfaces", "ports", "binds", "lxcfs", "ids", "init")
"""Parts of a record that a running container takes no notice of."""
_OTHER_WALLS = "nesting"
"""A feature that is more than a device: other filters of calls, and other mounts."""


@dataclass(frozen=True, slots=True)
class Changed:
    """What a change comes to."""

    container: Container
    fields: tuple[str, ...]
    """Parts of the record that are not as they were."""
    writes: tuple[limits.KernelWrite, ...]
    """What is written to the kernel, in this order; nothing for a stopped container."""
    disk: bool
    """Whether its disk gets another size."""
    reached: bool
    """Whether the rates of its networks, or what of the host it reaches, change at once."""
    at_start: tuple[str, ...]
    """What counts from the next start on: parts of the record, features and devices."""
    devices: Plan
    """What it is given at once, and what is taken away."""
    in_use: tuple[str, ...] = ()
    """Why some of that stays until it is stopped, a sentence each."""


def change(
    places: Places, name: str, described: Callable[[Container], Container], *, dry: bool = False
) -> Changed:
    """Change a container, running or not; all of it is done or nothing. `dry` only tells.

    Checked, noted in `setting`, written to the kernel, kept: who dies in between leaves the note,
    and the next command gives the kernel what the record says. Of a disk, the wish is noted.
    """
    check_name(name)
    with repair.holding(places, name) as held:
        old = held.record
        new = described(old)
        if new.limits != old.limits:
            allowed.check(places, new)
            limits.check(places, new)
        if new.binds != old.binds and not dry:
            volumes.check_binds(places, new)
        if (new.interfaces, new.ports) != (old.interfaces, old.ports):
            allowed.check_asked(places, new)
        changed = _compare(held, new)
        if dry:
            return changed
        in_use: tuple[str, ...] = ()
        if changed.fields or changed.devices.give or changed.devices.take:
            in_use = _do(held, changed)
        if changed.fields:
            held.tell("set", **_told(old, new))
    return replace(changed, in_use=in_use)


def _compare(held: Held, new: Container) -> Changed:
    old, running = held.record, state.alive(held.state)
    fields = tuple(
        field for field in Container.__struct_fields__ if getattr(old, field) != getattr(new, field)
    )
    reached = running and _differ_in_reach(old, new)
    late = [field for field in fields if field in _AT_START] if running else []
    devices = live_devices.plan(held.places, new, old) if running else Plan()
    if {"features", "devices"} & set(fields):
        late += devices.late
    if running and (_OTHER_WALLS in old.features) != (_OTHER_WALLS in new.features):
        late.append(_OTHER_WALLS)
    return Changed(
        container=new,
        fields=fields,
        writes=limits.changes(held.places, new, old.limits) if running else (),
        disk=(old.limits.disk, old.limits.inodes) != (new.limits.disk, new.limits.inodes),
        reached=reached,
        at_start=tuple(word for word in late if not (reached and word == "interfaces")),
        devices=devices,
    )


def _do(held: Held, changed: Changed) -> tuple[str, ...]:
    """Do all of it, or nothing; tell what could not be taken away, a sentence each."""
    old, new = held.record, changed.container
    note = held.volatile / layout.SETTING
    noted = bool(changed.writes or changed.reached or changed.devices.give or changed.devices.take)
    pid = held.state.pid if held.state is not None else 0
    in_use: tuple[str, ...] = ()
    if noted:
        note.write_bytes(b"")  # in memory, as what it is about is
    try:
        limits.apply(new, changed.writes)
        if changed.reached:
            reconcile.set_reach(held.places, new)
        if "hostname" in changed.fields:
            _call(held, new)
        _resize(held, old, new)
        if changed.devices.give or changed.devices.take:
            in_use = live_devices.settle(held.places, new, old, pid)
        if changed.disk:
            _change_disk(held, new)
        else:
            held.save(new)
    except BaseException:
        if noted:
            reconcile.restore(held.places, old, pid)
        if "hostname" in changed.fields:
            with contextlib.suppress(OvenError, OSError):
                _call(held, old)
        with contextlib.suppress(OvenError):
            _resize(held, new, old)
        raise
    if noted:
        note.unlink()
    return in_use


def _call(held: Held, new: Container) -> None:
    """Have it called by its new name, now where it runs and else from its next start on."""
    if held.state is not None and state.alive(held.state):
        names.set_now(new, held.state.pid)
        return
    with (
        writable.opened(held.places, new) as area,
        merged(held.places, new, area) as tree,
    ):
        names.empty(tree)


def _resize(held: Held, old: Container, new: Container) -> None:
    """Give file systems in memory the sizes that follow from other limits."""
    running = held.state is not None and state.alive(held.state)
    if running and memory_files.sizes(old.limits) != memory_files.sizes(new.limits):
        assert held.state is not None
        memory_files.resize(held.name, held.state.pid, new.limits)


def _told(old: Container, new: Container) -> dict[str, events.Detail]:
    """Give what is now different, by name; of what has many parts only that it is."""
    found: dict[str, events.Detail] = {}
    for one, other in ((old, new), (old.limits, new.limits)):
        for field in one.__struct_fields__:
            value = getattr(other, field)
            if value != getattr(one, field) and field != "limits":
                found[field] = value if isinstance(value, events.Detail) else "changed"
    return found


def _differ_in_reach(old: Container, new: Container) -> bool:
    """Tell whether the interfaces are the same but for what a running container can be given."""
    if old.interfaces == new.interfaces:
        return False
    without = [
        [msgspec.structs.replace(interface, rate=None, host=None) for interface in one.interfaces]
        for one in (old, new)
    ]
    return without[0] == without[1]


def _change_disk(held: Held, new: Container) -> None:
    """Resize the disk and keep the record; the wish is kept as long as it is not fulfilled."""
    wish = held.folder / layout.WISH
    with durable.disk_errors(held.places.data):
        durable.replace(wish, encode(new))
    try:
        reconcile.resize(held.places, held.record, new)
    except OvenError:
        wish.unlink()  # it is refused, and nothing was done
        raise
    held.save(new)
    wish.unlink()
