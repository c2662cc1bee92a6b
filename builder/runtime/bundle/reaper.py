"""An init for containers of one command, of the host: it reaps what the command leaves behind."""

import struct
from pathlib import Path

from builder.host.programs import find_program
from builder.runtime.bundle.runnable import loader
from builder.runtime.bundle.spec import Shown

# The first process of a PID namespace becomes the parent of all that lose theirs, which stay as
# zombies until it waits for them; few commands do. Nor does the kernel let it die of a signal that
# it does not handle (pid_namespaces(7)).

_PROGRAMS = ("catatonit", "tini-static")
"""Both take `-- COMMAND`, hand on signals, and end with the command's status."""
INSIDE = "/dev/.oven-init"


def find() -> Path | None:
    """Find one that needs nothing of the container; None where none is installed."""
    for name in _PROGRAMS:
        path = find_program(name)
        if path is not None and _is_static(path):
            return path
    return None


def shown(program: Path) -> Shown:
    """Give how it is seen inside."""
    return Shown(str(program), INSIDE, ("ro", "nosuid", "nodev"))


def around(argv: tuple[str, ...]) -> tuple[str, ...]:
    """Give a command below it."""
    return (INSIDE, "--", *argv)


def _is_static(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            return loader(file.fileno()) is None
        except (ValueError, struct.error):
            return False
