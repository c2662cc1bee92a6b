"""What a container gets between its making and its start, which no OCI runtime can give it."""

from pathlib import Path
from uuid import uuid4

from builder.host.kernel import mounts
from builder.host.kernel.visits import visit
from builder.model.errors import HostError

BOOT_ID = "boot-id"
"""A file of `/run/host`."""


def write_boot_id(shared: Path) -> None:
    """Choose an id for this start, as a machine has one for each boot (random(4))."""
    (shared / BOOT_ID).write_text(f"{uuid4()}\n", encoding="ascii")


def furnish(name: str, pid: int) -> None:
    """Finish the mounts of a container whose first process waits to be started.

    Everything propagates, as where systemd itself mounts the root: a unit with mounts of its own
    sees what comes later. The journal tells boots apart by their ids.
    """
    try:
        visit(pid, ("user", "mnt"), _furnish)
    except OSError as error:
        raise HostError(f"cannot finish the mounts of container `{name}`: {error.strerror}") from (
            error
        )


def _furnish() -> bytes:
    mounts.share(Path("/"))
    mounts.bind(Path("/run/host") / BOOT_ID, Path("/proc/sys/kernel/random/boot_id"))
    return b""
