"""Options for what a container may use."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from builder.model import amounts
from builder.model.numbers import LARGEST

if TYPE_CHECKING:
    from builder.cli.containers.options.groups import Decorator
    from builder.runtime.record.container import Container

NONE = "none"
"""What takes a limit away."""


def options() -> "tuple[Decorator, ...]":
    """Give what click needs to know of them."""
    import click

    return tuple(click.option(f"--{name}", metavar=word, help=text) for name, word, text in _WORDS)


_WORDS = (
    ("memory", "SIZE", "Limit memory, such as 512M; `none` takes a limit away, here and below."),
    ("swap", "SIZE", "Limit swap beyond memory; 0: none at all."),
    ("cpus", "N", "Limit processors, such as 1.5."),
    ("weight", "N", "Share where processors are too few, 1 to 10000; the usual one is 100."),
    ("pids", "N", "Limit processes and threads; 16384 by default."),
    ("shm-size", "SIZE", "Size of /dev/shm; half of its memory by default."),
    ("run-size", "SIZE", "Size of /run; a fifth of its memory by default."),
    ("tmp-size", "SIZE", "Size of /tmp where that is in memory; half of it by default."),
    ("read-bps", "SIZE", "Limit bytes a second read from disks."),
    ("write-bps", "SIZE", "Limit bytes a second written to disks."),
    ("read-iops", "N", "Limit reads from disks a second."),
    ("write-iops", "N", "Limit writes to disks a second."),
    ("disk", "SIZE", "Limit bytes that it may change and add on disk."),
    ("inodes", "N", "Limit files and folders that it may change and add."),
)
"""Option, what stands for its value, and what it means."""


def describe(container: "Container", given: Mapping[str, object]) -> "Container":
    """Lay limits over a record; what was not given stays, `none` takes a limit away."""
    import msgspec

    changes: dict[str, object] = {}
    for option, (field, read) in _FIELDS.items():
        text = given.get(option)
        if isinstance(text, str):
            name = f"--{option.replace('_', '-')}"
            changes[field] = None if text == NONE else read(text, name, otherwise=NONE)
    limits = msgspec.structs.replace(container.limits, **changes)
    return msgspec.structs.replace(container, limits=limits)


class _Reader(Protocol):
    """Reads what was given to an option."""

    def __call__(self, text: str, option: str, *, otherwise: str) -> float: ...


def _bytes(least: int) -> _Reader:
    return amounts.size(least, LARGEST).read


_FIELDS: dict[str, tuple[str, _Reader]] = {
    "memory": ("memory", _bytes(1 << 20)),
    "swap": ("swap", _bytes(0)),
    "cpus": ("cpus", amounts.processors),
    "weight": ("weight", amounts.count(1, 10000).read),
    "pids": ("pids", amounts.count(1).read),
    "shm_size": ("shm", _bytes(1 << 20)),
    "run_size": ("run", _bytes(1 << 20)),
    "tmp_size": ("tmp", _bytes(1 << 20)),
    "read_bps": ("read_bytes", _bytes(1)),
    "write_bps": ("write_bytes", _bytes(1)),
    "read_iops": ("read_operations", amounts.count(1).read),
    "write_iops": ("write_operations", amounts.count(1).read),
    "disk": ("disk", _bytes(16 << 20)),
    "inodes": ("inodes", amounts.count(1024).read),
}
"""Which field of `Limits` an option is, and how its words are read."""
