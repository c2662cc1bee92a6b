"""Changing a container that exists: its record, and at once what of it the kernel holds."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from builder.host.places import Places
from builder.model.errors import OvenError
from builder.runtime import journal, limits, state, storage
from builder.runtime.container import Container, check_name, volatile_of

_AT_START = ("hostname", "interfaces", "ports", "binds", "init")
"""Parts of a record that a running container takes no notice of."""


@dataclass(frozen=True, slots=True)
class Changed:
    """What a change comes to."""

    container: Container
    fields: tuple[str, ...]
    """Parts of the record that are not as they were."""
    writes: tuple[limits.Write, ...]
    """What is written to the kernel, in this order; nothing for a stopped container."""
    at_start: tuple[str, ...]
    """Those that count from the next start on."""


def change(
    places: Places, name: str, described: Callable[[Container], Container], *, dry: bool = False
) -> Changed:
    """Change a container, running or not; all of it is done or nothing. `dry` only tells.

    Checked, noted in `setting`, written to the kernel, kept: who dies in between leaves the note,
    and the next command gives the kernel what the record says.
    """
    check_name(name)
    with journal.holding(places, name) as old:
        new = described(old)
        if new.limits != old.limits:
            limits.check(places, new)
        changed = _compare(places, old, new)
        if changed.fields and not dry:
            _do(places, old, changed)
    return changed


def restore(places: Places, container: Container) -> None:
    """Give the kernel what the record says, after a change that was not finished.

    What cannot be given now, as less memory than is in use, is left to the next command.
    """
    with contextlib.suppress(OvenError):
        limits.apply(container, limits.changes(places, container))
        (volatile_of(places, container.name) / journal.SETTING).unlink()


def _compare(places: Places, old: Container, new: Container) -> Changed:
    running = state.alive(state.read(places, old.name))
    fields = tuple(
        field for field in Container.__struct_fields__ if getattr(old, field) != getattr(new, field)
    )
    return Changed(
        container=new,
        fields=fields,
        writes=limits.changes(places, new, old.limits) if running else (),
        at_start=tuple(field for field in fields if field in _AT_START) if running else (),
    )


def _do(places: Places, old: Container, changed: Changed) -> None:
    note = volatile_of(places, old.name) / journal.SETTING
    if changed.writes:
        note.write_bytes(b"")  # in memory, as what it is about is
    try:
        limits.apply(changed.container, changed.writes)
        # DISK: here its disk is resized, running or not: `disk.resize(places, old, new limits)`.
        storage.change(places, changed.container)
    except BaseException:
        if changed.writes:
            restore(places, old)
        raise
    if changed.writes:
        note.unlink()
