"""The journal of a container: read by its own program where it runs, else in a sandbox."""

import contextlib
from collections.abc import Iterator

from builder.host.kernel import mounts
from builder.host.places import Places
from builder.host.sandbox import journal_reader
from builder.host.trees.treeio import TreeIO
from builder.model.errors import ConflictError, NotFoundError
from builder.runtime.access import logs
from builder.runtime.access.logs import LogRange
from builder.runtime.bundle import rootfs, runnable
from builder.runtime.record import state
from builder.runtime.recovery import orphans, repair

# A journal is a binary file that a hostile container wrote. Where the container runs, its own
# journalctl reads it, inside. Where it does not, the host's reads it, with no rights and nothing of
# the host in view but programs: see `host/sandbox/journal_reader.py`.

_FOLDER = "var/log/journal"


def read(places: Places, name: str, wanted: LogRange, unit: str | None = None) -> Iterator[str]:
    """Give the lines of the journal, the oldest first, without what would steer a terminal."""
    current = orphans.look(places, name).state
    options = journal_reader.options(wanted.since, wanted.count, unit)
    if current is not None and state.alive(current):
        from builder.runtime.access.exec import output

        follow = ("--follow",) if wanted.follow else ()
        try:
            lines = output(places, name, ("journalctl", *options, *follow))
            yield from map(logs.plain, lines)
        except runnable.NoProgramError:
            raise NotFoundError(
                f"container `{name}` has no journalctl",
                hint=f"`oven logs {name}` shows its console",
            ) from None
        return
    yield from map(logs.plain, _of_stopped(places, name, options))


def _of_stopped(places: Places, name: str, options: tuple[str, ...]) -> Iterator[bytes]:
    """Mounts the container's root for the rest of this process."""
    with contextlib.ExitStack() as stack:
        held = stack.enter_context(repair.holding(places, name))
        if state.alive(held.state):
            raise ConflictError(f"container `{name}` was started meanwhile")
        rootfs.look_into(rootfs.RootfsSpec(places, held.record))
        tree = stack.enter_context(TreeIO(places.rootfs))
        if not tree.is_dir(_FOLDER):
            raise NotFoundError(
                f"container `{name}` keeps no journal on its disk",
                hint=f"it has the folder /{_FOLDER} where one is kept; `oven logs {name}` shows "
                "its console",
            )
        mounts.bind(stack.enter_context(tree.by_descriptor(_FOLDER)), places.shared)
        yield from journal_reader.lines(places.shared, options)
